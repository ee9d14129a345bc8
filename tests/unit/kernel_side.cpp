// SPDX-License-Identifier: Apache-2.0
#include "kernel_side.hpp"

#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <loopwatch/join.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>

#include "collect/probe_table.hpp"
#include "stack/module_scan.hpp"
#include "util/wall_clock.hpp"

using namespace loopwatch;

namespace kernel_side {

namespace {

constexpr timespec nap = {0, static_cast<long>(nap_ns)};

struct Place {
    int control, gate;
};

std::uint64_t cpu_ns()
{
    timespec now = {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000 * ms + static_cast<std::uint64_t>(now.tv_nsec);
}

void burn()
{
    for (const auto until = cpu_ns() + nap_ns; cpu_ns() < until;) {
    }
}

void wait_at_gate(int gate)
{
    char byte = 0;
    (void)!::read(gate, &byte, 1);
}

void throw_and_report()
{
    try {
        throw std::runtime_error("left alone");
    } catch (const std::runtime_error& error) {
        probe::exception_unretrieved(1, typeid(error).name(), error.what(), nullptr, &error);
    }
}

void fork_and_wait()
{
    const pid_t child = ::fork();
    if (child == 0) ::_exit(3);
    ::waitpid(child, nullptr, 0);
}

void poll_gate(int gate)
{
    pollfd both[] = {{gate, POLLIN, 0}, {gate, POLLIN, 0}};
    ::poll(both, 2, -1);
    wait_at_gate(gate);
}

void perform(Act act, const Place& place)
{
    switch (act) {
        case Act::nap: ::nanosleep(&nap, nullptr); break;
        case Act::nap_twice:
            ::nanosleep(&nap, nullptr);
            ::nanosleep(&nap, nullptr);
            break;
        case Act::wait: wait_at_gate(place.gate); break;
        case Act::burn: burn(); break;
        case Act::thread: std::thread([&] { wait_at_gate(place.gate); }).join(); break;
        case Act::poll_within: poll_gate(place.gate); break;
        case Act::resume:
            resumed();
            ::nanosleep(&nap, nullptr);
            break;
        case Act::throws: throw_and_report(); break;
        case Act::fork: fork_and_wait(); break;
        case Act::exec: ::execl("/bin/true", "true", nullptr); break;
        case Act::nothing:
        case Act::spin:
        case Act::quit: break;
    }
}

bool wait_for_question(int epoll, int timeout_ms)
{
    epoll_event ready = {};
    return ::epoll_wait(epoll, &ready, 1, timeout_ms) == 1;
}

Act next_question(int control)
{
    char byte = 0;
    if (::read(control, &byte, 1) != 1) ::_exit(1);
    return static_cast<Act>(byte);
}

void answer(int control, std::uint64_t value)
{
    if (::write(control, &value, sizeof value) != sizeof value) ::_exit(1);
}

// `around`: what a runtime does before and after a wait and a callback.
template <class Around>
void serve(const Place& place, Around& around)
{
    const int epoll = ::epoll_create1(0);
    epoll_event readable = {EPOLLIN, {}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, place.control, &readable);
    for (auto last = Act::nothing; last != Act::quit;) {
        around.begin_poll(~0ull);
        while (!wait_for_question(epoll, last == Act::spin ? 0 : -1)) {
        }
        around.end_poll(1);
        last = next_question(place.control);
        around.begin(nullptr);
        perform(last, place);
        around.end();
        if (last != Act::quit) answer(place.control, 0);
    }
    ::close(epoll);
}

struct NoProbes {
    void begin_poll(std::uint64_t) {}
    void end_poll(std::uint64_t) {}
    void begin(void*) {}
    void end() {}
};

struct Probes {
    LoopProbes& loop;
    void begin_poll(std::uint64_t timeout_ns) { loop.begin_poll(timeout_ns); }
    void end_poll(std::uint64_t events) { loop.end_poll(events); }
    void begin(TaskProbes* task) { loop.begin(task); }
    void end() { loop.end(); }
};

[[noreturn]] void run(LoopKind kind, const Place& place)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    next_question(place.control);  // begin()
    if (kind == LoopKind::plain) {
        answer(place.control, 0);
        answer(place.control, 0);
        NoProbes none;
        serve(place, none);
    } else {
        LoopProbes loop("kernel side");
        loop.start();
        answer(place.control, reinterpret_cast<std::uint64_t>(&loop.slot()));
        answer(place.control, loop.id());
        Probes probes{loop};
        serve(place, probes);
        loop.stop();
    }
    answer(place.control, 0);
    next_question(place.control);
    ::_exit(7);
}

std::uint64_t read_answer(int control)
{
    pollfd ready = {control, POLLIN, 0};
    REQUIRE(::poll(&ready, 1, limit_ms) == 1);
    std::uint64_t value = 0;
    REQUIRE(::read(control, &value, sizeof value) == sizeof value);
    return value;
}

}  // namespace

// Of a form that the compiler cannot do without.
[[gnu::noinline]] void resumed()
{
    asm volatile("");
}

Child::Child(LoopKind kind, bool begun)
{
    int control[2], gate[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control) == 0);
    REQUIRE(::pipe2(gate, O_CLOEXEC) == 0);
    control_ = Fd(control[0]), gate_ = Fd(gate[1]);
    const Fd theirs(control[1]), their_gate(gate[0]);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) run(kind, {theirs.raw(), their_gate.raw()});
    if (begun) begin();
}

Child::~Child()
{
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

void Child::begin()
{
    ask(Act::nothing);
    slot_ = read_answer(control_.raw());
    loop_id_ = read_answer(control_.raw());
    is_asleep(SYS_epoll_wait);
}

void Child::ask(Act act)
{
    const char byte = static_cast<char>(act);
    REQUIRE(::write(control_.raw(), &byte, 1) == 1);
}

void Child::answered()
{
    read_answer(control_.raw());
}

void Child::does(Act act)
{
    ask(act);
    answered();
}

void Child::release()
{
    REQUIRE(::write(gate_.raw(), "", 1) == 1);
}

// As /proc/PID/syscall has it: the number first, or "running".
void Child::is_asleep(long syscall) const
{
    const auto until = monotonic_ns() + limit_ms * ms;
    std::string number;
    while (monotonic_ns() < until) {
        std::ifstream("/proc/" + std::to_string(pid_) + "/syscall") >> number;
        if (number == std::to_string(syscall)) return;
        ::sched_yield();
    }
    FAIL("the child is in " << number << ", not in " << syscall);
}

int Child::end()
{
    int status = 0;
    const auto until = monotonic_ns() + limit_ms * ms;
    while (::waitpid(pid_, &status, WNOHANG) == 0 && monotonic_ns() < until) ::sched_yield();
    pid_ = -1;
    return status;
}

Session::Session(KernelOptions options)
{
    auto opened = Kernel::open(options);
    if (!opened) FAIL(opened.error().what);
    kernel_ = std::move(*opened);
}

void Session::drain()
{
    while (kernel_->drain(256, [this](const Event& event) { events.push_back(event); })) {
    }
}

bool Session::until(const std::function<bool()>& condition)
{
    const auto end = monotonic_ns() + limit_ms * ms;
    for (;;) {
        drain();
        if (condition()) return true;
        if (monotonic_ns() >= end) return false;
        pollfd ready = {kernel_->ring_descriptor(), POLLIN, 0};
        ::poll(&ready, 1, 1);
    }
}

std::vector<SourceEvent> Session::places_of(std::uint32_t pid) const
{
    auto places = of<SourceEvent>(pid);
    std::erase_if(places, [](const SourceEvent& one) { return one.single; });
    return places;
}

std::vector<Link> Session::attach(ProbeGate gate, pid_t pid)
{
    const auto file = this_program();
    const auto scan = scan_module(file.raw());
    REQUIRE(scan);
    std::vector<CheckedSite> sites;
    for (const auto& site : scan->sites)
        if (const auto* row = find_probe(site.name); row && row->gate == gate)
            sites.push_back({row->id, site.offset, site.semaphore_offset});
    REQUIRE(!sites.empty());
    auto links = kernel_->attach_sites(gate, pid, file.raw(), sites);
    if (!links) FAIL(links.error().what);
    return std::move(*links);
}

void Session::watch_probed(const Child& child, const Thresholds& limits)
{
    REQUIRE(kernel_->admit(child.pid(), limits));
    for (auto& link : attach(ProbeGate::watch, child.pid())) links_.push_back(std::move(link));
    kernel_->enter_loop(child.pid(), child.tid(), child.slot(), child.loop_id());
}

KernelOptions options_of(const Thresholds& least)
{
    KernelOptions options;
    options.least = least;
    return options;
}

Fd this_program()
{
    return Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

std::uint64_t offset_of(const void* function)
{
    struct Search {
        std::uint64_t address, offset;
    } search{reinterpret_cast<std::uint64_t>(function), 0};
    const auto look = [](dl_phdr_info* module, std::size_t, void* context) {
        auto& wanted = *static_cast<Search*>(context);
        for (int i = 0; i < module->dlpi_phnum; ++i) {
            const auto& header = module->dlpi_phdr[i];
            const auto start = module->dlpi_addr + header.p_vaddr;
            if (header.p_type == PT_LOAD && wanted.address >= start && wanted.address < start + header.p_filesz)
                wanted.offset = wanted.address - start + header.p_offset;
        }
        return 1;
    };
    ::dl_iterate_phdr(look, &search);
    REQUIRE(search.offset != 0);
    return search.offset;
}

Without::Without(std::uint64_t capabilities)
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    REQUIRE(::syscall(SYS_capget, &header, before_.data()) == 0);
    auto less = before_;
    less[0].effective &= ~static_cast<std::uint32_t>(capabilities);
    less[1].effective &= ~static_cast<std::uint32_t>(capabilities >> 32);
    REQUIRE(::syscall(SYS_capset, &header, less.data()) == 0);
}

Without::~Without()
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    ::syscall(SYS_capset, &header, before_.data());
}

}  // namespace kernel_side
