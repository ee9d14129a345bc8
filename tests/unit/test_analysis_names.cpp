// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <sys/syscall.h>

#include "analysis/calls.hpp"
#include "analysis/frames.hpp"
#include "analysis/function_name.hpp"
#include "analysis/interpreters.hpp"
#include "analysis/kind.hpp"

using namespace loopwatch;

namespace {

Frame frame(std::string function, std::string module = "/srv/order_server", std::string file = {},
            std::uint32_t line = 0)
{
    Frame f;
    f.function = std::move(function);
    f.module = std::move(module);
    f.file = std::move(file);
    f.line = line;
    return f;
}

const std::string libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";

BlockFacts block(std::int64_t syscall, std::string target = {}, std::uint32_t state = 1)
{
    BlockFacts b;
    b.syscall = syscall;
    b.fd_target = std::move(target);
    b.task_state = state;
    return b;
}

}  // namespace

TEST_CASE("a plain name keeps the qualified name and drops what builds and overloads change")
{
    const auto [full, plain] = GENERATE(table<std::string, std::string>({
        {"fsync", "fsync"},
        {"Store::flush(std::string const&)", "Store::flush"},
        {"void db::Store<int>::flush<char>(int) const", "db::Store<int>::flush<char>"},
        {"loopwatch::Task<void> save<std::pair<int, int> >(Order)", "save<std::pair<int, int> >"},
        {"parse(int) [clone .constprop.0]", "parse"},
        {"save(int) (.resume)", "save"},
        {"parse.cold", "parse"},
        {"pthread_cond_wait@@GLIBC_2.3.2", "pthread_cond_wait"},
        {"(anonymous namespace)::helper(int)", "helper"},
        {"app::(anonymous namespace)::Cache::get(int)", "app::Cache::get"},
        {"save(int)::{lambda()#2}::operator()() const", "save::{lambda}"},
        {"save()::operator()", "save::{lambda}"},
        {"save(int)::{lambda(int (*)(char))#7}::operator()(int (*)(char)) const", "save::{lambda}"},
        {"Store::flush(int) const::{lambda()#1}::operator()() const", "Store::flush::{lambda}"},
        {"std::ostream& operator<< <char>(std::ostream&, Point)", "operator<< <char>"},
        {"Point::operator()(int)", "Point::operator()"},
        {"Point::operator->()", "Point::operator->"},
        {"Point::operator bool() const", "Point::operator bool"},
        {"name[abi:cxx11](int)", "name"},
        {"operators(int)", "operators"},
        {"unbalanced<(", "unbalanced<("},
        {"", ""},
    }));
    CHECK(plain_name(full) == plain);
}

TEST_CASE("a spoken name shortens long template arguments only")
{
    CHECK(spoken_name("Store<int>::flush(int)") == "Store<int>::flush");
    CHECK(spoken_name("Store<std::basic_string<char, std::char_traits<char> > >::flush(int)") == "Store<…>::flush");
    CHECK(spoken_name("shop::save(int)::{lambda()#2}::operator()() const") == "shop::save");
    CHECK(spoken_name("Less::operator()(int, int) const") == "Less::operator()");
    CHECK(spoken_name("void spawn<handle(int)::{lambda()#1}, std::allocator<void> >(int)") == "spawn<…>");
}

TEST_CASE("frames belong to libc, the runtime, a library or the user")
{
    using Owner = FrameOwner;
    CHECK(owner_of(frame("fsync", libc)) == Owner::libc);
    CHECK(owner_of(frame("", "/lib64/ld-linux-x86-64.so.2")) == Owner::libc);
    CHECK(owner_of(frame("nanosleep", "/opt/lw/libloopwatch_preload.so")) == Owner::libc);
    CHECK(owner_of(frame("clock_gettime", "[vdso]")) == Owner::libc);
    CHECK(owner_of(frame("void asio::detail::f<user>(int)")) == Owner::runtime);
    CHECK(owner_of(frame("boost::asio::io_context::run()")) == Owner::runtime);
    CHECK(owner_of(frame("loopwatch::Loop::run()")) == Owner::runtime);
    CHECK(owner_of(frame("std::__cxx11::basic_string<char>::append(char)")) == Owner::library);
    CHECK(owner_of(frame("", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30")) == Owner::library);
    CHECK(owner_of(frame("sqlite3_step", "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0")) == Owner::library);
    CHECK(owner_of(frame("json_parse", "/srv/app", "/usr/include/json.hpp", 7)) == Owner::library);
    CHECK(owner_of(frame("Store::flush()")) == Owner::user);
    CHECK(owner_of(frame("loopwatch::Task<void> shop::save<int>(int)")) == Owner::user);
    CHECK(owner_of(frame("handle(asio::ip::tcp::socket)")) == Owner::user);
    CHECK(owner_of(frame("", "/srv/app")) == Owner::user);
    // Rust.
    CHECK(owner_of(frame("core::ops::function::FnOnce::call_once")) == Owner::library);
    CHECK(owner_of(frame("<alloc::boxed::Box<F> as core::ops::function::FnOnce<A>>::call_once")) == Owner::library);
    CHECK(owner_of(frame("tokio::runtime::task::raw::poll")) == Owner::runtime);
    CHECK(owner_of(frame("lang_start", "/srv/app", "/rustc/9fc6b431/library/std/src/rt.rs", 205)) == Owner::library);
    CHECK(owner_of(frame("parse", "/srv/app", "/root/.cargo/registry/src/x-1.0/src/lib.rs", 7)) == Owner::library);
    CHECK(owner_of(frame("server::handle")) == Owner::user);
    CHECK(owner_of(frame("core::Server::run()")) == Owner::user);
    CHECK(is_start(frame("server::main")));
    CHECK_FALSE(is_start(frame("Game::main()")));
}

TEST_CASE("the culprit is the innermost own frame, with a line if one has it")
{
    const auto sync = frame("fsync", libc);
    const auto std_frame = frame("std::ofstream::flush()", "/srv/app", "/usr/include/c++/12/fstream", 9);
    const auto third_party = frame("rocks_sync(int)", "/srv/app");
    const auto flush = frame("Store::flush()", "/srv/app", "src/store.cpp", 42);
    const auto save = frame("save(int)", "/srv/app", "src/server.cpp", 7);
    CHECK(culprit_frame(std::vector{sync, std_frame, flush, save})->function == "Store::flush()");
    CHECK(culprit_frame(std::vector{sync, third_party, flush, save})->function == "Store::flush()");
    CHECK(culprit_frame(std::vector{sync, third_party})->function == "rocks_sync(int)");
    CHECK(culprit_frame(std::vector{sync, std_frame})->function == "std::ofstream::flush()");
    CHECK(culprit_frame(std::vector{sync, frame("", "/srv/app")})->module == "/srv/app");
    CHECK(culprit_frame(std::vector{sync}) == nullptr);
    CHECK(culprit_frame(std::vector<Frame>{}) == nullptr);
}

TEST_CASE("the culprit is the plugin, not its host; not the loop, nor what started it")
{
    const auto system = frame("do_system", libc);
    const auto plugin = frame("", "/srv/plugins/libplugin.so");
    const auto host = frame("http_response_handler", "/srv/httpd", "response.c", 7);
    const auto main = frame("main", "/srv/httpd", "server.c", 900);
    const auto start = frame("_start", "/srv/httpd");
    CHECK(place_text(culprit_frame(std::vector{system, plugin, host, main, start})) == "at libplugin.so+0x0");
    CHECK(culprit_frame(std::vector{system, host, main, start})->function == "http_response_handler");
    CHECK(culprit_frame(std::vector{system, frame("", "/srv/httpd"), main, start})->function.empty());
    auto loop = frame("serve_events", "/srv/httpd", "server.c", 600);
    loop.of_loop = true;
    CHECK(culprit_frame(std::vector{system, frame("", "/srv/httpd"), loop, main, start})->function.empty());
    auto outer = main;
    outer.of_loop = true;
    CHECK(culprit_frame(std::vector{system, loop, outer})->function == "serve_events");
    CHECK(culprit_frame(std::vector{system, main, start})->function == "main");
}

TEST_CASE("a call is named as its caller knows it, whatever symbols there are")
{
    const auto call_of = [](std::vector<Frame> stack, std::size_t boundary, const char* called) {
        stack[boundary].called = called;
        return libc_entry(stack).value_or(LibcEntry{"-", 0, false}).call;
    };
    // ifstream on a FIFO: with glibc's debug symbols, without, under the shim.
    CHECK(call_of({frame("open64", libc), frame("__fopen_internal", libc), frame("f()")}, 1, "fopen64") == "fopen");
    CHECK(call_of({frame("open64", libc), frame("_IO_file_fopen", libc), frame("", libc), frame("f()")}, 2,
                  "fopen64") == "fopen");
    CHECK(
        call_of({frame("open64", libc), frame("", libc), frame("fopen64", "/l/libloopwatch_preload.so"), frame("f()")},
                2, "fopen64") == "fopen");
    CHECK(call_of({frame("tcflow", libc), frame("f()")}, 0, "tcflow") == "tcflow");
    // A local name that no table knows is no call: the system call is told.
    CHECK(call_of({frame("some_internal_function", libc), frame("f()")}, 0, "") == "-");
    const auto through = libc_entry(std::vector{frame("__wait4", libc), frame("", libc), frame("f()")});
    REQUIRE(through);
    CHECK(through->call == "wait4");
    auto system = frame("", libc);
    system.called = "system";
    CHECK(libc_entry(std::vector{frame("__wait4", libc), system, frame("f()")})->through);
}

TEST_CASE("names that only glibc knows are told by those that people call")
{
    const auto wait = [](const char* name) {
        const auto entry = libc_entry(std::vector{frame(name, libc), frame("work(int)")});
        return entry ? entry->call : "";
    };
    CHECK(wait("__new_sem_wait_slow64") == "sem_wait");
    CHECK(wait("__pthread_clockjoin_ex") == "pthread_join");
    CHECK(wait("sem_wait") == "sem_wait");
}

TEST_CASE("below a script lies its runtime: the script is the culprit")
{
    const auto poll = frame("uv__io_poll", "/usr/bin/node", "../deps/uv/src/unix/linux.c", 1368);
    const auto internal = frame("execFileSync", "", "node:child_process", 916);
    const auto script = frame("renderInvoice", "", "/srv/app.js", 9);
    CHECK(culprit_frame(std::vector{poll, internal, script})->function == "renderInvoice");
    CHECK(culprit_frame(std::vector{poll, internal})->function == "uv__io_poll");
}

TEST_CASE("an interpreter's functions have names if it is started so")
{
    CHECK(missing_names("/usr/bin/node").find("--perf-basic-prof") != std::string::npos);
    CHECK(missing_names("/usr/lib/x86_64-linux-gnu/libnode.so.108").find("--perf-basic-prof") != std::string::npos);
    CHECK(missing_names("/usr/bin/python3.11").find("Python 3.11 cannot") != std::string::npos);
    CHECK(missing_names("/opt/lib/libpython3.9.so.1.0").find("Python 3.9 cannot") != std::string::npos);
    CHECK(missing_names("/usr/bin/python3.13").ends_with("python3 -X perf"));
    CHECK(missing_names("/usr/lib/jvm/lib/server/libjvm.so").find("jcmd") != std::string::npos);
    for (const char* other : {"/usr/bin/node_exporter", "/usr/bin/python3-config", "/srv/app", ""})
        CHECK(missing_names(other).empty());
}

TEST_CASE("a place is said with what is known of it")
{
    const auto closure = frame("server::handle::{closure#3}");
    Frame script;
    script.function = "charge_card";
    script.file = "/srv/shop/pay.py";
    CHECK(place_text(&script) == "at pay.py (charge_card)");  // no line: none is known
    script.line = 4;
    CHECK(place_text(&script) == "at pay.py:4 (charge_card)");
    CHECK(place_text(&closure) == "in server::handle");
    const auto flush = frame("<shop::Store<[u8; 4]> as shop::store::Flush>::flush");
    CHECK(place_text(&flush) == "in shop::Store<[u8; 4]>::flush");
    const auto size = frame("<shop::Store<u8>>::size");
    CHECK(place_text(&size) == "in shop::Store<u8>::size");
    auto f = frame("Store::flush(int)", "/srv/app", "/home/me/src/store.cpp", 42);
    CHECK(place_text(&f) == "at store.cpp:42 (Store::flush)");
    f.file.clear();
    CHECK(place_text(&f) == "in Store::flush");
    f.function.clear();
    f.offset = 0x1234;
    CHECK(place_text(&f) == "at app+0x1234");
    CHECK(place_text(nullptr).empty());
    f.module.clear();
    CHECK(place_text(&f) == "in code generated at run time, which has no name");
}

TEST_CASE("the user's part of a stack ends at the loop's dispatch")
{
    const std::vector stack{
        frame("fsync", libc),
        frame("Store::flush()"),
        frame("save(int)"),
        frame("std::coroutine_handle<void>::resume() const"),
        frame("loopwatch::Loop::dispatch()"),
        frame("asio::io_context::run()"),
        frame("main"),
        frame("__libc_start_main", libc),
    };
    CHECK(user_part(stack).frames.size() == 3);
    CHECK(user_part(stack).hidden == 5);

    const std::vector inner_asio{
        frame("poll", libc), frame("getaddrinfo", libc),           frame("asio::ip::resolver::resolve()"),
        frame("lookup()"),   frame("loopwatch::Loop::dispatch()"), frame("main")};
    CHECK(user_part(inner_asio).frames.size() == 4);
    const std::vector no_dispatch{frame("poll", libc), frame("asio::io_context::run()"), frame("main")};
    CHECK(user_part(no_dispatch).hidden == 0);
    CHECK(user_part(no_dispatch).frames.size() == 3);
    CHECK(user_part(std::vector<Frame>{}).frames.empty());
}

TEST_CASE("the entry into libc is the outermost of its inner frames")
{
    const auto call_of = [](const std::vector<Frame>& stack) {
        return libc_entry(stack).value_or(LibcEntry{"-", 0, false}).call;
    };
    CHECK(call_of({frame("__futex_wait", libc), frame("__GI___pthread_mutex_lock", libc), frame("f()")}) ==
          "pthread_mutex_lock");
    CHECK(call_of({frame("__write", libc), frame("_IO_file_write", libc), frame("_IO_fwrite", libc), frame("f()")}) ==
          "fwrite");
    CHECK(call_of({frame("clock_nanosleep", libc), frame("usleep", "/l/libloopwatch_preload.so"),
                   frame("report_slow", "/l/libloopwatch_preload.so"), frame("f()")}) == "usleep");
    CHECK(call_of({frame("__read_chk", libc), frame("f()")}) == "read");
    CHECK(call_of({frame("open64", libc), frame("f()")}) == "open");
    // With glibc's debug symbols, and without.
    CHECK(call_of({frame("open64", libc), frame("_IO_file_open", libc), frame("_IO_new_file_fopen", libc),
                   frame("__fopen_internal", libc), frame("f()")}) == "fopen");
    CHECK(call_of({frame("open64", libc), frame("_IO_file_open", libc), frame("_IO_file_fopen", libc), frame("", libc),
                   frame("f()")}) == "fopen");
    CHECK(call_of({frame("f()"), frame("qsort", libc)}) == "-");
    CHECK(call_of({frame("", libc), frame("__libc_start_call_main", libc)}) == "-");
    CHECK(call_of({frame("__poll", libc), frame("", "/usr/lib/libnss_dns.so.2"), frame("res_nsearch", libc),
                   frame("getaddrinfo", libc), frame("lookup()")}) == "getaddrinfo");
    CHECK(call_of({frame("__poll", libc), frame("f()"), frame("wait", "/srv/app", "pool.cpp", 3)}) == "poll");
}

TEST_CASE("the numbers of the table are the kernel's")
{
#define LW_SYSCALL(number, name, rule, args) CHECK(SYS_##name == number);
#define LW_LIBC(name, rule, args) CHECK(find_call(#name)->number == -1);
#include "analysis/calls.def"
    CHECK(find_syscall(-1) == nullptr);
    CHECK(find_syscall(100'000) == nullptr);
    CHECK(find_call("no_such_call") == nullptr);
}

TEST_CASE("a wait on a descriptor is what the descriptor is")
{
    const auto [target, kind] = GENERATE(table<std::string, Kind>({
        {"pipe:[123]", Kind::pipe},
        {"fifo:/tmp/f", Kind::pipe},
        {"socket:[9]", Kind::network},
        {"/var/lib/x.db", Kind::file_io},
        {"anon_inode:[timerfd]", Kind::sleep},
        {"anon_inode:[eventfd]", Kind::nested_wait},
        {"anon_inode:[io_uring]", Kind::io_uring},
        {"anon_inode:[pidfd]", Kind::process},
        {"/dev/pts/3", Kind::other},
        {"", Kind::other},
    }));
    CHECK(kind_of(block(SYS_read, target)) == kind);
    CHECK(kind_of(block(SYS_writev, target)) == kind);
}

TEST_CASE("a wait that no signal ends is a disk's where the descriptor does not say")
{
    CHECK(kind_of(block(SYS_read, "", 2)) == Kind::file_io);
    CHECK(kind_of(block(SYS_read, "/dev/sda", 0x2002)) == Kind::file_io);
}

TEST_CASE("every call has its kind")
{
    const auto [syscall, kind] = GENERATE(table<std::int64_t, Kind>({
        {SYS_nanosleep, Kind::sleep},
        {SYS_clock_nanosleep, Kind::sleep},
        {SYS_futex, Kind::lock},
        {SYS_fsync, Kind::file_io},
        {SYS_openat, Kind::file_io},
        {SYS_flock, Kind::file_lock},
        {SYS_fcntl, Kind::file_lock},
        {SYS_connect, Kind::network},
        {SYS_recvfrom, Kind::network},
        {SYS_wait4, Kind::process},
        {SYS_waitid, Kind::process},
        {SYS_vfork, Kind::process},
        {SYS_epoll_wait, Kind::nested_wait},
        {SYS_io_uring_enter, Kind::io_uring},
        {-1, Kind::page_fault},
        {unknown_syscall, Kind::other},
        {SYS_getrandom, Kind::other},
        {9999, Kind::other},
    }));
    CHECK(kind_of(block(syscall)) == kind);
}

TEST_CASE("a poll of no descriptors is a sleep")
{
    auto waiting = block(SYS_poll);
    waiting.args[2] = 50;
    CHECK(kind_of(waiting) == Kind::sleep);
    waiting.args[1] = 1;
    CHECK(kind_of(waiting) == Kind::nested_wait);
    CHECK(kind_of(block(SYS_select)) == Kind::sleep);
}

TEST_CASE("a system call's arguments are named")
{
    auto sync = block(SYS_fsync, "/var/lib/x.db");
    sync.args[0] = 7;
    CHECK(args_of(sync) == Args{{"fd", "7"}, {"path", "/var/lib/x.db"}});
    auto lock = block(SYS_futex);
    lock.args[0] = 0x55d0;
    lock.args[1] = 0x80 | 9;
    CHECK(args_of(lock) == Args{{"lock", "0x55d0"}, {"op", "wait_bitset"}});
    auto receive = block(SYS_recvfrom, "socket:[5]");
    receive.args[0] = 4;
    receive.args[2] = 512;
    CHECK(args_of(receive) == Args{{"fd", "4"}, {"target", "socket:[5]"}, {"bytes", "512"}});
    receive.peer = "10.0.0.3:5432";
    CHECK(args_of(receive) == Args{{"fd", "4"}, {"peer", "10.0.0.3:5432"}, {"bytes", "512"}});
    auto wait = block(SYS_epoll_wait, "anon_inode:[eventpoll]");
    wait.args[0] = 3;
    wait.args[3] = 0xffffffff;
    CHECK(args_of(wait) == Args{{"fd", "3"}, {"target", "anon_inode:[eventpoll]"}});
    wait.args[3] = 250;
    CHECK(args_of(wait).back() == std::pair<std::string, std::string>{"timeout_ns", "250000000"});
    CHECK(fd_argument(SYS_fsync) == 0);
    CHECK(fd_argument(SYS_futex) == -1);
    CHECK(fd_argument(-1) == -1);
}

TEST_CASE("the shim does not show in a stack, and the call is named as without it")
{
    const std::string shim = "/opt/lw/libloopwatch_preload.so";
    auto inner = frame("", libc);
    auto timed = frame("lw_timed_fsync", shim);
    timed.called = "fsync";
    std::vector<Frame> stack = {inner, frame("timed_fsync()::operator()", shim),
                                frame("loopwatch::preload::measure<>()", shim), timed, frame("Store::flush()")};
    leave_out_shim(stack);
    REQUIRE(stack.size() == 2);
    CHECK(stack[0].function == "fsync");
    CHECK(libc_entry(stack)->call == "fsync");
    CHECK(stack[1].function == "Store::flush()");
    inner = frame("__open64", libc);
    inner.called = "open64";
    stack = {inner, timed, frame("Store::flush()")};
    leave_out_shim(stack);
    CHECK(stack[0].called == "open64");  // the shim's own
    stack = {timed};
    leave_out_shim(stack);
    CHECK(stack.empty());
}

TEST_CASE("the shim's arguments are named after its calls")
{
    CallFacts call;
    const auto args = [&](std::string name, std::uint64_t arg, std::string text = {}, int fd = -1) {
        call.call = std::move(name);
        call.arg = arg;
        call.text = std::move(text);
        call.fd = fd;
        return args_of(call);
    };
    CHECK(args("usleep", 50'000'000) == Args{{"requested_ns", "50000000"}});
    CHECK(args("getaddrinfo", 0, "db.internal") == Args{{"host", "db.internal"}});
    CHECK(args("system", 0, "ls -l") == Args{{"command", "ls -l"}});
    CHECK(args("waitpid", 4711) == Args{{"pid", "4711"}});
    CHECK(args("pthread_mutex_lock", 0x55d0) == Args{{"lock", "0x55d0"}});
    CHECK(args("open", 0, "/etc/passwd", 5) == Args{{"fd", "5"}, {"path", "/etc/passwd"}});
    CHECK(args("open", 0, "/etc/passwd") == Args{{"path", "/etc/passwd"}});
    CHECK(args("connect", 0, "10.0.0.3:5432", 6) == Args{{"fd", "6"}, {"peer", "10.0.0.3:5432"}});
    CHECK(args("pread", 4096, "", 6) == Args{{"fd", "6"}, {"bytes", "4096"}});
    CHECK(args("accept", 9, "", 6) == Args{{"fd", "6"}});
    CHECK(args("poll", ~0ull).empty());
    CHECK(args("poll", 5'000'000) == Args{{"timeout_ns", "5000000"}});
}

TEST_CASE("names of kinds are those of the schema")
{
    std::string names;
    for (int kind = 0; kind <= static_cast<int>(Kind::other); ++kind)
        names += std::string(kind_name(static_cast<Kind>(kind))) + ' ';
    CHECK(names ==
          "cpu sleep lock file_io file_lock pipe network dns process nested_wait page_fault io_uring run_queue "
          "cpu_throttle "
          "stopped other ");
    CHECK(woken_by_name(WokenBy::timer) == "timer");
    CHECK(woken_by_name(WokenBy::thread) == "thread");
    CHECK(is_the_codes_doing(Kind::lock));
    CHECK_FALSE(is_the_codes_doing(Kind::run_queue));
}
