// SPDX-License-Identifier: Apache-2.0
//
// The worker as a process that may die, hang or lie, and the messages between it and the core.
#include <elf.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "../fixtures/common/slow_elf.hpp"
#include "captured.hpp"
#include "send_signal.hpp"
#include "stack/answers.hpp"
#include "stack/channel.hpp"
#include "stack/symbol_worker.hpp"

using captured::Sleeper;
using loopwatch::Channel;
using loopwatch::Fd;
using loopwatch::Frame;
using loopwatch::Message;
using loopwatch::send_signal;
using loopwatch::SymbolWorker;
using nlohmann::json;

namespace {

const std::string fixtures = FIXTURES;

struct Session {
    Session() : sleeper(fixtures + "/blocker_gcc")
    {
        auto started = SymbolWorker::start();
        REQUIRE(started);
        worker = std::move(*started);
        REQUIRE(worker->map_process(static_cast<std::uint32_t>(sleeper.pid()), sleeper.modules()));
        stack = sleeper.stack(8192);
    }
    // Another stack each time: one that was unwound before does not take the worker.
    void ask()
    {
        const std::uint64_t address = sleeper.modules().front().start + asked++;
        std::memcpy(stack.bytes.data() + stack.bytes.size() - sizeof address, &address, sizeof address);
        worker->unwind(stack, [this](std::vector<Frame> frames) { answers.push_back(std::move(frames)); });
    }
    void drain()
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (worker->pending() > 0 && std::chrono::steady_clock::now() < end) {
            pollfd ready = {worker->descriptor(), POLLIN, 0};
            ::poll(&ready, 1, 100);
            worker->poll();
        }
        REQUIRE(worker->pending() == 0);
    }
    std::vector<Frame> answer()
    {
        ask();
        drain();
        return answers.back();
    }

    Sleeper sleeper;
    std::unique_ptr<SymbolWorker> worker;
    loopwatch::CapturedStack stack;
    std::uint64_t asked = 0;
    std::vector<std::vector<Frame>> answers;
};

bool whole(const std::vector<Frame>& frames)
{
    return frames.size() > 5 && frames.front().function.find("nanosleep") != std::string::npos;
}

// By its name; -1: there is none.
pid_t child_called(const std::string& name)
{
    std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
    for (pid_t child = 0; children >> child;) {
        std::string comm;
        std::getline(std::ifstream("/proc/" + std::to_string(child) + "/comm"), comm);
        if (comm == name) return child;
    }
    return -1;
}

std::size_t open_descriptors()
{
    const auto list = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(list), end(list)));
}

// Waits until it has ended, without reaping it.
void await_end(pid_t pid)
{
    siginfo_t info = {};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
}

std::pair<Fd, Fd> sockets()
{
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    return {Fd(pair[0]), Fd(pair[1])};
}

}  // namespace

TEST_CASE("a worker that is killed costs names, and the next stack has them again")
{
    Session session;
    REQUIRE(whole(session.answer()));
    const pid_t first = session.worker->pid();
    send_signal(first, SIGSTOP);
    for (int i = 0; i < 5; ++i) session.ask();
    send_signal(first, SIGKILL);
    session.drain();
    REQUIRE(session.answers.size() == 6);
    CHECK(session.worker->failures() == 5);
    for (std::size_t i = 1; i < 6; ++i) {
        REQUIRE(session.answers[i].size() == 1);
        CHECK(session.answers[i][0].function.empty());
        CHECK(session.answers[i][0].module.find("libc") != std::string::npos);
        CHECK(session.answers[i][0].offset == session.answers[0][0].offset);
    }
    CHECK(whole(session.answer()));
    CHECK(session.worker->pid() != first);
    CHECK(session.worker->failures() == 5);
}

TEST_CASE("a worker that dies again and again costs names of what it was asked, and neither descriptors nor processes")
{
    Session session;
    REQUIRE(whole(session.answer()));
    const auto descriptors = open_descriptors();
    for (std::uint64_t death = 1; death <= 20; ++death) {
        const pid_t victim = session.worker->pid();
        send_signal(victim, SIGSTOP);
        session.ask();
        send_signal(victim, SIGKILL);
        session.drain();
        CHECK(session.answers.back().size() == 1);
        CHECK(session.worker->failures() == death);
        CHECK(whole(session.answer()));
        CHECK(session.worker->pid() != victim);
        CHECK(send_signal(victim, 0) != 0);  // not a zombie
    }
    CHECK(open_descriptors() == descriptors);
    CHECK_FALSE(session.worker->start_failure());
}

TEST_CASE("a worker does not have in memory what this process has read since it started the first one")
{
    Session session;
    void* const later = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(later != MAP_FAILED);
    std::strcpy(static_cast<char*>(later), "read of a target");
    const Fd kept(::open("/proc/self/maps", O_RDONLY));  // not O_CLOEXEC
    REQUIRE(whole(session.answer()));
    const pid_t first = session.worker->pid();
    send_signal(first, SIGKILL);
    await_end(first);
    session.answer();
    REQUIRE(whole(session.answer()));
    REQUIRE(session.worker->pid() != first);
    char text[32] = {};
    const iovec ours = {text, sizeof text}, theirs = {later, sizeof text};
    const bool readable = ::process_vm_readv(session.worker->pid(), &ours, 1, &theirs, 1, 0) > 0;
    CHECK_FALSE((readable && std::strcmp(text, "read of a target") == 0));
    const auto files = std::filesystem::directory_iterator("/proc/" + std::to_string(session.worker->pid()) + "/fd");
    for (const auto& file : files) CHECK(std::filesystem::read_symlink(file).filename() != "maps");
    ::munmap(later, 4096);
}

TEST_CASE("once the process that starts workers has ended, stacks are addresses, and the reason is known")
{
    Session session;
    REQUIRE(whole(session.answer()));
    const pid_t zygote = child_called("loopwatch-zyg"), first = session.worker->pid();
    REQUIRE(zygote > 0);
    send_signal(zygote, SIGKILL);
    CHECK(whole(session.answer()));  // of the worker that runs
    send_signal(first, SIGKILL);
    await_end(first);
    session.answer();
    for (int i = 0; i < 3; ++i) {
        const auto frames = session.answer();
        REQUIRE(frames.size() == 1);
        CHECK(frames[0].module.find("libc") != std::string::npos);
    }
    REQUIRE(session.worker->start_failure());
    CHECK(session.worker->start_failure()->what == "the process that starts symbol workers has ended");
    const Fd file(::open((fixtures + "/probes_pie").c_str(), O_RDONLY | O_CLOEXEC));
    CHECK_FALSE(session.worker->scan(file.raw()));
    CHECK(send_signal(zygote, 0) != 0);  // not a zombie
}

TEST_CASE("a process that starts workers and does not answer is ended, not waited for")
{
    Session session;
    const pid_t zygote = child_called("loopwatch-zyg"), first = session.worker->pid();
    REQUIRE(whole(session.answer()));
    send_signal(zygote, SIGSTOP);
    send_signal(first, SIGKILL);
    await_end(first);
    session.answer();
    const auto begin = std::chrono::steady_clock::now();
    CHECK_FALSE(whole(session.answer()));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(8));
    CHECK_FALSE(whole(session.answer()));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(8));
    CHECK(session.worker->start_failure());
    CHECK(send_signal(zygote, 0) != 0);
}

TEST_CASE("a file that is truncated while the worker reads it costs its names only")
{
    Session session;
    const auto copy = std::filesystem::temp_directory_path() / ("loopwatch_truncated_" + std::to_string(::getpid()));
    std::filesystem::copy_file(fixtures + "/blocker_gcc", copy);
    auto modules = session.sleeper.modules();
    for (auto& module : modules)
        if (module.path.find("blocker_gcc") != std::string::npos)
            module.file = Fd(::open(copy.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(session.worker->map_process(static_cast<std::uint32_t>(session.sleeper.pid()), std::move(modules)));
    REQUIRE(whole(session.answer()));
    const pid_t before = session.worker->pid();
    std::filesystem::resize_file(copy, 100);  // libelf has it mapped: the next access is a SIGBUS
    session.answer();
    std::filesystem::remove(copy);
    CHECK(session.worker->failures() == 1);
    const auto frames = session.answer();
    CHECK(session.worker->pid() != before);
    REQUIRE(frames.size() > 1);
    CHECK(frames[0].function.find("nanosleep") != std::string::npos);
}

TEST_CASE("a file over which the worker died twice is not shown to it again")
{
    Session session;
    const auto path = std::filesystem::temp_directory_path() / ("loopwatch_slow_" + std::to_string(::getpid()));
    std::ofstream(path, std::ios::binary) << fixture::slow_elf();
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::filesystem::remove(path);
    for (int death = 0; death < 2; ++death) {
        REQUIRE(whole(session.answer()));
        const pid_t victim = session.worker->pid();
        std::thread killer([victim] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            send_signal(victim, SIGKILL);
        });
        const auto scan = session.worker->scan(file.raw());
        killer.join();
        REQUIRE_FALSE(scan);
        CHECK(scan.error().what.find("died") != std::string::npos);
    }
    const pid_t survivor = (session.answer(), session.worker->pid());
    const auto scan = session.worker->scan(file.raw());
    REQUIRE_FALSE(scan);
    CHECK(scan.error().what.find("crashed the symbol worker") != std::string::npos);
    CHECK(session.worker->pid() == survivor);
    CHECK(whole(session.answer()));
}

TEST_CASE("a worker that nothing is asked of ends, and the next request has another one")
{
    Session session;
    REQUIRE(whole(session.answer()));
    const pid_t first = session.worker->pid();
    session.worker->end_if_idle(3'600'000'000'000);
    CHECK(session.worker->pid() == first);
    session.ask();
    session.worker->end_if_idle(0);
    CHECK(session.worker->pid() == first);  // it owes an answer
    session.drain();
    CHECK(whole(session.answers.back()));
    session.worker->end_if_idle(0);
    CHECK(session.worker->pid() != first);
    CHECK(session.worker->failures() == 0);
    CHECK(whole(session.answer()));
}

TEST_CASE("a worker that hangs is replaced")
{
    Session session;
    REQUIRE(whole(session.answer()));
    const auto begin = std::chrono::steady_clock::now();
    send_signal(session.worker->pid(), SIGSTOP);
    CHECK_FALSE(whole(session.answer()));
    const auto took = std::chrono::steady_clock::now() - begin;
    CHECK(took >= std::chrono::seconds(5));
    CHECK(took < std::chrono::seconds(10));
    CHECK(whole(session.answer()));
}

// As one is that reads a file whose server holds on to the read.
TEST_CASE("a worker whose end does not come is not waited for")
{
    Session session;
    REQUIRE(whole(session.answer()));
    int begun[2];
    REQUIRE(::pipe2(begun, O_CLOEXEC) == 0);
    const Fd told(begun[0]);
    // Who is traced is a zombie for its tracer first.
    const pid_t worker = session.worker->pid(), tracer = ::fork();
    if (tracer == 0) {
        const bool traces = ::ptrace(PTRACE_SEIZE, worker, nullptr, nullptr) == 0;
        [[maybe_unused]] const auto written = ::write(begun[1], &traces, sizeof traces);
        if (traces) ::sleep(4);
        ::_exit(0);
    }
    ::close(begun[1]);
    bool traces = false;
    REQUIRE(::read(told.raw(), &traces, sizeof traces) == sizeof traces);
    if (!traces) {
        ::waitpid(tracer, nullptr, 0);
        WARN("only root may trace the worker");
        return;
    }
    const auto begin = std::chrono::steady_clock::now();
    send_signal(worker, SIGKILL);
    session.answer();
    CHECK(whole(session.answer()));
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
    REQUIRE(::waitpid(tracer, nullptr, 0) == tracer);
}

TEST_CASE("what waits is bounded, and every stack is answered")
{
    Session session;
    send_signal(session.worker->pid(), SIGSTOP);
    for (int i = 0; i < 5000; ++i) session.ask();
    CHECK(session.worker->pending() == 4096);
    CHECK(session.answers.size() == 5000 - 4096);
    CHECK(session.worker->failures() == 5000 - 4096);
    send_signal(session.worker->pid(), SIGCONT);
    session.drain();
    CHECK(session.answers.size() == 5000);
    CHECK(session.worker->failures() == 5000 - 4096);
    CHECK(whole(session.answers.back()));
}

TEST_CASE("a process that fills the queue leaves room in it for the others")
{
    Session session;
    send_signal(session.worker->pid(), SIGSTOP);
    for (int i = 0; i < 4200; ++i) session.ask();
    std::size_t answered = 0;
    const auto other = static_cast<std::uint32_t>(session.sleeper.pid()) + 1;
    for (int i = 0; i < 100; ++i)
        session.worker->symbolize(other, {0x1000}, [&](const std::vector<Frame>&) { ++answered; });
    CHECK(session.worker->pending() == 4096 + 64);
    CHECK(answered == 100 - 64);
    send_signal(session.worker->pid(), SIGCONT);
    session.drain();
    CHECK(answered == 100);
}

TEST_CASE("files that no process maps any longer leave their room to others")
{
    rlimit files = {};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
    rlimit more = files;
    more.rlim_cur = files.rlim_max;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &more) == 0);
    Session session;
    // As many as a process may map, 17 times: more than 65,536.
    for (int round = 0; round < 17; ++round) {
        std::vector<loopwatch::ModuleMapping> modules;
        for (std::uint64_t i = 0; i < 4096; ++i)
            modules.push_back({i << 12, (i + 1) << 12, 0, "file", Fd(::memfd_create("file", MFD_CLOEXEC))});
        REQUIRE(modules.back().file);
        REQUIRE(session.worker->map_process(1, std::move(modules)));
        REQUIRE(whole(session.answer()));
    }
    const Fd file(::open((fixtures + "/probes_pie").c_str(), O_RDONLY | O_CLOEXEC));
    CHECK(session.worker->scan(file.raw()));
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
}

TEST_CASE("whoever cannot wait any longer has answers without names, and later ones with them")
{
    Session session;
    send_signal(session.worker->pid(), SIGSTOP);
    for (int i = 0; i < 3; ++i) session.ask();
    session.worker->give_up();
    session.drain();
    REQUIRE(session.answers.size() == 3);
    CHECK(session.answers[0].size() == 1);
    CHECK(session.worker->failures() == 3);
    CHECK(whole(session.answer()));
}

TEST_CASE("a scan between stacks disturbs neither")
{
    Session session;
    const Fd file(::open((fixtures + "/probes_pie").c_str(), O_RDONLY | O_CLOEXEC));
    for (int i = 0; i < 20; ++i) session.ask();
    const auto scan = session.worker->scan(file.raw());
    REQUIRE(scan);
    CHECK(scan->sites.size() > 20);
    CHECK(session.answers.empty());
    session.drain();
    REQUIRE(session.answers.size() == 20);
    for (const auto& frames : session.answers) CHECK(whole(frames));
}

TEST_CASE("a file that was read ahead is scanned at once, and is read once")
{
    Session session;
    const Fd file(::open((fixtures + "/probes_pie").c_str(), O_RDONLY | O_CLOEXEC));
    int read = 0;
    const auto count = [&](const std::vector<Frame>&) { ++read; };
    const auto before = session.worker->asked();
    CHECK_FALSE(session.worker->scanned(file.raw(), {}));
    session.worker->scan_ahead(file.raw(), {}, count);
    session.worker->scan_ahead(file.raw(), {}, count);
    CHECK(session.worker->asked() == before + 1);
    CHECK(read == 0);
    session.drain();
    CHECK(read == 2);
    CHECK(session.worker->scanned(file.raw(), {}));
    CHECK_FALSE(session.worker->scanned(file.raw(), {.coroutines = true}));
    const auto scan = session.worker->scan(file.raw());
    REQUIRE(scan);
    CHECK(scan->sites.size() > 20);
    CHECK(session.worker->asked() == before + 1);
}

TEST_CASE("a scan of a file that is being read waits for that, and what cannot be read is no hang")
{
    Session session;
    const Fd file(::open((fixtures + "/probes_pie").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd text(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
    int read = 0;
    const auto count = [&](const std::vector<Frame>&) { ++read; };
    session.worker->scan_ahead(file.raw(), {}, count);
    CHECK(session.worker->scan(file.raw()));
    session.worker->scan_ahead(text.raw(), {}, count);
    session.worker->scan_ahead(-1, {}, count);
    session.drain();
    CHECK(read == 3);
    CHECK_FALSE(session.worker->scan(text.raw()));
}

TEST_CASE("what is no program is refused once and for all who look at it next, not asked for again")
{
    Session session;
    const Fd text(::memfd_create("text", MFD_CLOEXEC));
    REQUIRE(::write(text.raw(), "no program", 10) == 10);
    CHECK_FALSE(session.worker->scanned(text.raw(), {}));
    session.worker->scan_ahead(text.raw(), {}, [](const std::vector<Frame>&) {});
    session.drain();
    CHECK(session.worker->scanned(text.raw(), {}));
    CHECK_FALSE(session.worker->scan(text.raw()));
}

TEST_CASE("who asks for a file that is being read hears of it when it has been")
{
    Session session;
    send_signal(session.worker->pid(), SIGSTOP);
    const Fd file(::open((fixtures + "/probes_pie").c_str(), O_RDONLY | O_CLOEXEC));
    int read = 0;
    for (int i = 0; i < 3; ++i) session.worker->scan_ahead(file.raw(), {}, [&](const std::vector<Frame>&) { ++read; });
    for (int i = 0; i < 5; ++i) session.worker->poll();
    CHECK(read == 0);
    send_signal(session.worker->pid(), SIGCONT);
    session.drain();
    CHECK(read == 3);
}

TEST_CASE("a file over which the worker died while it was read ahead may be scanned again")
{
    Session session;
    const auto path = std::filesystem::temp_directory_path() / ("loopwatch_ahead_" + std::to_string(::getpid()));
    std::ofstream(path, std::ios::binary) << fixture::slow_elf();
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::filesystem::remove(path);
    REQUIRE(whole(session.answer()));
    int read = 0;
    session.worker->scan_ahead(file.raw(), {}, [&](const std::vector<Frame>&) { ++read; });
    send_signal(session.worker->pid(), SIGKILL);
    session.drain();
    CHECK(read == 1);
    const auto* const died = session.worker->scanned(file.raw());
    REQUIRE(died);
    REQUIRE_FALSE(*died);
    CHECK(died->error().what.find("died") != std::string::npos);
    const auto asked = session.worker->asked();
    (void)session.worker->scan(file.raw());
    CHECK(session.worker->asked() == asked + 1);
}

TEST_CASE("a file is scanned once for all who map it, and again when it was rewritten in place")
{
    Session session;
    const auto copy = std::filesystem::temp_directory_path() / ("loopwatch_scanned_" + std::to_string(::getpid()));
    std::filesystem::copy_file(fixtures + "/probes_pie", copy);
    const Fd file(::open(copy.c_str(), O_RDONLY | O_CLOEXEC)), same(::open(copy.c_str(), O_RDONLY | O_CLOEXEC));
    const auto before = session.worker->asked();
    const auto first = session.worker->scan(file.raw());
    const auto second = session.worker->scan(same.raw());
    REQUIRE(first);
    REQUIRE(second);
    CHECK(session.worker->asked() == before + 1);
    CHECK(first->sites.size() > 20);
    CHECK(second->sites.size() == first->sites.size());
    CHECK(second->build_id == first->build_id);
    REQUIRE(session.worker->scan(file.raw(), {true}));  // that is another question
    CHECK(session.worker->asked() == before + 2);

    // Of the same size: a byte of the first site, which is a probe no more.
    const std::uint8_t breakpoint = 0xcc;
    const Fd writable(::open(copy.c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::pwrite(writable.raw(), &breakpoint, 1, static_cast<off_t>(first->sites[0].offset)) == 1);
    const auto rewritten = session.worker->scan(file.raw());
    std::filesystem::remove(copy);
    REQUIRE(rewritten);
    CHECK(session.worker->asked() == before + 3);
    CHECK(rewritten->sites.size() == first->sites.size() - 1);
}

TEST_CASE("a process that is forgotten has no names any more")
{
    Session session;
    REQUIRE(whole(session.answer()));
    REQUIRE(session.worker->map_process(static_cast<std::uint32_t>(session.sleeper.pid()), {}));
    const auto frames = session.answer();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].module.empty());
}

TEST_CASE("the worker keeps no descriptor but its socket, and its limits")
{
    Session session;
    REQUIRE(whole(session.answer()));
    const std::string proc = "/proc/" + std::to_string(session.worker->pid());
    std::ifstream comm(proc + "/comm");
    std::string name;
    std::getline(comm, name);
    CHECK(name == "loopwatch-sym");
    std::ifstream limits(proc + "/limits");
    const std::string text((std::istreambuf_iterator<char>(limits)), {});
    CHECK(text.find("Max core file size        0") != std::string::npos);
    char target[64] = {};
    CHECK(::readlink((proc + "/fd/0").c_str(), target, sizeof target - 1) > 0);
    CHECK(std::string(target) == "/dev/null");
}

TEST_CASE("messages arrive whole, in order, with their file, however the bytes are cut")
{
    auto [near, far] = sockets();
    const int small = 4096;
    ::setsockopt(near.raw(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    Channel out(std::move(near), false), in(std::move(far), true);
    for (unsigned i = 0; i < 50; ++i)
        out.send({{{"n", i}},
                  std::vector<std::uint8_t>(i * 997, static_cast<std::uint8_t>(i)),
                  Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC))});
    CHECK(out.unsent_bytes() > 0);
    unsigned next = 0;
    while (next < 50) {
        REQUIRE(out.flush() == Channel::State::open);
        REQUIRE(in.receive() == Channel::State::open);
        while (auto message = in.next()) {
            CHECK(message->body["n"] == next);
            CHECK(message->raw == std::vector<std::uint8_t>(next * 997, static_cast<std::uint8_t>(next)));
            CHECK(message->file);
            ++next;
        }
    }
    CHECK(out.unsent_bytes() == 0);
}

TEST_CASE("a peer that does not keep to the protocol is cut off")
{
    const auto hostile = [](const std::vector<std::uint8_t>& bytes) {
        auto [near, far] = sockets();
        Channel in(std::move(far), false);
        REQUIRE(::send(near.raw(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
        return in.receive();
    };
    const auto header = [](std::uint32_t magic, std::uint32_t body, std::uint32_t raw, std::uint32_t files) {
        std::vector<std::uint8_t> bytes(16);
        const std::uint32_t words[] = {magic, body, raw, files};
        std::memcpy(bytes.data(), words, 16);
        return bytes;
    };
    auto good = header(0x6c776d31, 1, 0, 0);
    good.push_back(0x80);  // an empty map
    CHECK(hostile(good) == Channel::State::open);
    CHECK(hostile(header(1, 1, 0, 0)) == Channel::State::closed);
    CHECK(hostile(header(0x6c776d31, loopwatch::max_body_bytes + 1, 0, 0)) == Channel::State::closed);
    CHECK(hostile(header(0x6c776d31, 1, ~0u, 0)) == Channel::State::closed);
    auto file_claimed = header(0x6c776d31, 1, 0, 1);
    file_claimed.push_back(0x80);
    CHECK(hostile(file_claimed) == Channel::State::closed);
}

TEST_CASE("a nested, cut or foreign body is no message")
{
    const auto decodes = [](const std::vector<std::uint8_t>& bytes) {
        return loopwatch::decode_body(bytes.data(), bytes.size()).has_value();
    };
    CHECK(decodes(json::to_msgpack({{"a", {{{1, 2}}}}})));
    CHECK_FALSE(decodes({}));
    CHECK_FALSE(decodes(json::to_msgpack(json::array({1}))));
    CHECK_FALSE(decodes(std::vector<std::uint8_t>(1 << 20, 0x91)));  // a million arrays, one in the other
    CHECK_FALSE(decodes(std::vector<std::uint8_t>(1 << 20, 0x81)));
    CHECK_FALSE(decodes({0xdd, 0xff, 0xff, 0xff, 0xff}));
    auto cut = json::to_msgpack({{"frames", {1, 2, 3}}});
    cut.pop_back();
    CHECK_FALSE(decodes(cut));
}

TEST_CASE("frames and scans survive the way, and are refused when they are not what they should be")
{
    const std::vector<Frame> frames = {{"f(int)", "/bin/x", "ab12", ~0ull, "/src/x.cpp", 12, true, false},
                                       {"", "/bin/x", "", 1, "", 0, false, true}};
    loopwatch::SentTexts sent_texts;
    json good;
    loopwatch::encode_frames(frames, sent_texts, good);
    const auto decoded = [](const json& answer) {
        loopwatch::KnownTexts known;
        return loopwatch::decode_frames(answer, known);
    };
    const auto back = decoded(good);
    REQUIRE(back);
    REQUIRE(back->size() == 2);
    CHECK((*back)[0].function == "f(int)");
    CHECK((*back)[0].offset == ~0ull);
    CHECK((*back)[0].inlined);
    CHECK((*back)[0].line == 12);
    CHECK((*back)[1].truncated);
    const auto refused = [&](auto change) {
        json bad = good;
        change(bad);
        return !decoded(bad);
    };
    CHECK(refused([](json& j) { j["frames"] = json::array(); }));
    CHECK(refused([](json& j) { j["frames"] = 7; }));
    CHECK(refused([](json& j) { j["frames"][0].erase(0); }));
    CHECK(refused([](json& j) { j["frames"][0][0] = 1000; }));
    CHECK(refused([](json& j) { j["frames"][0][4] = -1; }));
    CHECK(refused([](json& j) { j["frames"][0][5] = "x"; }));
    CHECK(refused([](json& j) { j["texts"][2] = "../../etc"; }));
    CHECK(refused([](json& j) { j["texts"][0] = 1; }));
    CHECK(refused([](json& j) { j["texts_from"] = 7; }));
    CHECK(refused([](json& j) { j.erase("texts"); }));
    CHECK(refused(
        [&](json& j) { j["frames"] = json(std::vector<json>(loopwatch::max_answer_frames + 1, good["frames"][0])); }));
    json long_name = good;
    long_name["texts"][0] = std::string(100'000, 'x') + "\xff";
    CHECK((*decoded(long_name))[0].function.size() <= loopwatch::max_text_bytes);
    long_name["texts"][0] = "a\xff";
    CHECK((*decoded(long_name))[0].function == "a\xef\xbf\xbd");

    loopwatch::ModuleScan scan;
    scan.sites.push_back({"loop_start", 1, 2, "8@%rdi"});
    scan.warnings.push_back("a warning");
    scan.is_static = scan.is_go = true;
    const json sent = loopwatch::encode_scan(scan);
    const auto got = loopwatch::decode_scan(sent);
    REQUIRE(got);
    CHECK(got->sites.size() == 1);
    CHECK(got->sites[0].semaphore_offset == 2);
    CHECK(got->is_static);
    CHECK(got->is_go);
    for (const auto& [key, value] : sent.items()) {
        INFO(key);
        json bad = sent;
        bad.erase(key);
        CHECK_FALSE(loopwatch::decode_scan(bad));
        bad[key] = json::object();
        CHECK_FALSE(loopwatch::decode_scan(bad));
    }
}

TEST_CASE("a name travels once, until there are too many")
{
    loopwatch::SentTexts sent;
    loopwatch::KnownTexts known;
    std::size_t repeated = 0;
    for (std::size_t i = 0; i < 3 * loopwatch::max_texts; ++i) {
        const Frame fresh = {"f" + std::to_string(i), "/bin/x", "", i, "", 0, false, false};
        const Frame same = {"again", "/bin/x", "", i, "", 0, false, false};
        json answer;
        loopwatch::encode_frames({fresh, same}, sent, answer);
        repeated += answer["texts"].size() - 1;
        const auto back = loopwatch::decode_frames(answer, known);
        REQUIRE(back);
        REQUIRE((*back)[0].function == fresh.function);
        REQUIRE((*back)[1].function == "again");
    }
    CHECK(repeated < 30);
}

TEST_CASE("random bytes for a message never hurt")
{
    std::mt19937 random(3);
    loopwatch::SentTexts sent;
    json answer = {{"id", 5}};
    loopwatch::encode_frames({{"f", "m", "ab", 1, "x", 1, false, false}}, sent, answer);
    const auto seed = json::to_msgpack(answer);
    for (int i = 0; i < 20'000; ++i) {
        auto bytes = seed;
        for (unsigned k = 0; k <= random() % 4; ++k)
            bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
        loopwatch::KnownTexts known;
        if (const auto body = loopwatch::decode_body(bytes.data(), bytes.size()))
            CHECK_NOTHROW(loopwatch::decode_frames(*body, known));
    }
}
