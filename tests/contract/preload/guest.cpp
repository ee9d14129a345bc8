// SPDX-License-Identifier: Apache-2.0
//
// The shim as a guest: when it measures and when it must not, and that a program cannot tell whether it is there.
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers.hpp"
#include "tap.hpp"

namespace {

bool all_good = true;

void check(bool good, const char* sentence)
{
    std::printf("%s guest: %s\n", good ? "ok  " : "FAIL", sentence);
    std::fflush(stdout);
    all_good &= good;
}

void nap()
{
    const timespec ms = {0, 1'000'000};
    nanosleep(&ms, nullptr);
}

std::size_t reports_of(const std::function<void()>& act)
{
    tap::clear();
    act();
    return tap::count();
}

void measures_only_dispatches_of_loops()
{
    check(reports_of(nap) == 0, "a thread that runs no loop is not measured");
    tap::enter();
    check(reports_of(nap) == 1, "a dispatch is measured");
    tap::loop().seq = 2;
    check(reports_of(nap) == 0, "the time between dispatches is not measured");
    tap::loop().seq = 3;
    check(reports_of([] {
              std::jthread(nap).join();
              nap();
          }) == 2,
          "another thread is not measured meanwhile, the wait for its end is");
    tap::lower();
    check(reports_of(nap) == 0, "without a session nothing is reported");
    tap::raise();
    tap::loop().floor_ns = 3'600'000'000'000;
    check(reports_of(nap) == 0, "a call below the loop's floor is not reported");
    tap::loop().floor_ns = 0;
    const auto short_calls = [] {
        for (int i = 0; i < 100; ++i) poll(nullptr, 0, 0);
    };
    check(reports_of(nap) == 1 && reports_of(short_calls) < 100, "a loop without a floor has the default of 100 us");
    tap::loop().floor_ns = 1;
    tap::leave();
    check(reports_of(nap) == 0, "a thread whose loop ended is not measured");
    tap::loop().abi = LW_ABI + 1;
    tap::enter();
    check(reports_of(nap) == 0, "a slot of another ABI is left alone");
    tap::loop().abi = LW_ABI;
    tap::leave();
}

struct Outcome {
    long result;
    int error;
    bool operator==(const Outcome&) const = default;
};

// Calls that fail each in its own way, and one that succeeds and must leave errno as it was.
std::vector<std::function<long()>> telling_calls()
{
    // Neither null nor known: the compiler would warn of both.
    static void* volatile wild = reinterpret_cast<void*>(0x10);
    static const timespec invalid = {0, -1}, past = {0, 0};
    return {
        [] { return read(-1, wild, 1); },
        [] { return open("/nonexistent/x", O_RDONLY); },
        [] { return open(static_cast<char*>(wild), O_RDONLY); },
        [] { return openat(AT_FDCWD, static_cast<char*>(wild), O_RDONLY); },
        [] { return poll(static_cast<pollfd*>(wild), 1, 0); },
        [] { return nanosleep(&invalid, nullptr); },
        [] { return nanosleep(static_cast<timespec*>(wild), nullptr); },
        [] { return clock_nanosleep(CLOCK_MONOTONIC, 0, static_cast<timespec*>(wild), nullptr); },
        [] { return clock_nanosleep(CLOCK_MONOTONIC, 0, &invalid, nullptr); },
        [] { return connect(-1, static_cast<sockaddr*>(wild), 16); },
        [] {
            const int fd = socket(AF_INET, SOCK_STREAM, 0);
            const int result = connect(fd, static_cast<sockaddr*>(wild), 16);
            const int error = errno;
            close(fd);
            errno = error;
            return result;
        },
        [] { return openat(AT_FDCWD, static_cast<char*>(wild), O_TMPFILE); },
        [] { return sendto(-1, "", 1, 0, static_cast<sockaddr*>(wild), 16); },
        [] { return recv(0, nullptr, 0, 0); },
        [] { return waitpid(-1, nullptr, 0); },
        [] { return fsync(-1); },
        [] {
            pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
            pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
            pthread_mutex_lock(&mutex);
            const int result = pthread_cond_timedwait(&cond, &mutex, &past);
            pthread_mutex_unlock(&mutex);
            return result;
        },
        [] { return poll(nullptr, 0, 1); },
    };
}

void keeps_results_and_errno()
{
    const auto outcomes = [] {
        std::vector<Outcome> all;
        for (const auto& call : telling_calls()) {
            errno = 4711;
            const long result = call();
            all.push_back({result, errno});
        }
        return all;
    };
    const auto off_loop = outcomes();
    tap::enter();
    tap::clear();
    const auto on_loop = outcomes();
    check(tap::count() >= telling_calls().size(), "failing calls are measured");
    tap::leave();
    check(on_loop == off_loop, "results and errno of failing calls are the same while measured");
    check(on_loop.front() == Outcome{-1, EBADF} && on_loop.back() == Outcome{0, 4711}, "a success leaves errno alone");
}

void hands_on_the_mode_of_open()
{
    umask(0);
    tap::enter();
    struct stat created = {}, unnamed = {};
    const int file = open(scratch("mode").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0640);
    const int hidden = open(scratch("").c_str(), O_TMPFILE | O_WRONLY, 0604);
    tap::leave();
    fstat(file, &created);
    fstat(hidden, &unnamed);
    check((created.st_mode & 07777) == 0640, "open with O_CREAT hands on its mode");
    check(hidden < 0 || (unnamed.st_mode & 07777) == 0604, "open with O_TMPFILE hands on its mode");
    close(file);
    close(hidden);
}

struct Cancelled {
    bool destructor_ran = false, handler_ran = false;
    std::size_t reports_in_handler = 0;
};

void on_cancel(void* at)
{
    auto* cancelled = static_cast<Cancelled*>(at);
    cancelled->handler_ran = true;
    cancelled->reports_in_handler = reports_of(nap);
}

// Cancels a loop's thread in `blocking`; its cleanup handler then makes another call in the same dispatch.
Cancelled cancel_in(const std::function<void()>& blocking)
{
    struct Job {
        const std::function<void()>& blocking;
        Cancelled cancelled;
    } job{blocking, {}};
    pthread_t thread;
    const auto body = [](void* at) -> void* {
        auto* job = static_cast<Job*>(at);
        struct Guard {
            bool& ran;
            ~Guard() { ran = true; }
        } guard{job->cancelled.destructor_ran};
        const Rescuer canceller([self = pthread_self()] { pthread_cancel(self); });
        tap::enter();
        pthread_cleanup_push(on_cancel, &job->cancelled);
        job->blocking();
        pthread_cleanup_pop(0);
        return nullptr;
    };
    pthread_create(&thread, nullptr, body, &job);
    void* result = nullptr;
    pthread_join(thread, &result);
    if (result != PTHREAD_CANCELED) job.cancelled = {};
    return job.cancelled;
}

void lets_cancellation_through()
{
    const Ends silent = pipe_ends();
    const Cancelled in_read = cancel_in([&] {
        char byte;
        (void)!read(silent.in, &byte, 1);
    });
    check(in_read.handler_ran && in_read.destructor_ran,
          "a thread cancelled in read runs its handlers and destructors");
    check(in_read.reports_in_handler == 1, "a handler's calls are measured after a cancelled read");

    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    const Cancelled in_wait = cancel_in([&] {
        pthread_mutex_lock(&mutex);
        pthread_cond_wait(&never, &mutex);
    });
    check(in_wait.handler_ran && in_wait.destructor_ran, "a thread cancelled in pthread_cond_wait runs them too");
    check(in_wait.reports_in_handler == 1, "a handler's calls are measured after a cancelled pthread_cond_wait");
    check(pthread_mutex_trylock(&mutex) == EBUSY, "a cancelled pthread_cond_wait has locked its mutex again");
}

int handler_pipe = -1;
ssize_t handler_wrote = 0;
sigjmp_buf way_out;

void on_alarm(void (*handler)(int), const std::function<void()>& act)
{
    struct sigaction action = {}, old;
    action.sa_handler = handler;
    sigaction(SIGALRM, &action, &old);
    const itimerval soon = {{0, 0}, {0, 2000}};
    setitimer(ITIMER_REAL, &soon, nullptr);
    act();
    sigaction(SIGALRM, &old, nullptr);
}

void stands_signals()
{
    const Ends pipe = pipe_ends();
    handler_pipe = pipe.out;
    tap::enter();
    tap::clear();
    on_alarm([](int) { handler_wrote = write(handler_pipe, "xyz", 3); }, [] { (void)!sleep(1); });
    const auto reports = tap::count();  // what check() prints is measured too
    check(handler_wrote == 3, "a signal handler may call while a call is measured");
    check(reports == 1 && std::strcmp(tap::report(0).call, "sleep") == 0, "its call is part of the interrupted one");

    tap::next_dispatch();
    tap::clear();
    on_alarm([](int) { siglongjmp(way_out, 1); },
             [] {
                 if (sigsetjmp(way_out, 1) == 0) (void)!sleep(1);
             });
    check(tap::count() == 0, "a call left by siglongjmp is not reported");
    tap::next_dispatch();
    check(reports_of(nap) == 1, "the next dispatch is measured again");
    tap::leave();
}

void stands_forks()
{
    tap::enter();
    int status = -1;
    const pid_t forked = fork();
    if (forked == 0) _exit(static_cast<int>(reports_of(nap)));
    waitpid(forked, &status, 0);
    check(status == 0, "a forked child has no loop");
    check(reports_of(nap) == 1, "its parent still has");

    const pid_t vforked = vfork();
    if (vforked == 0) {
        execl("/bin/true", "true", nullptr);
        _exit(1);
    }
    waitpid(vforked, &status, 0);
    check(status == 0 && reports_of(nap) == 1, "vfork and exec work, the parent is measured");
    tap::leave();
}

}  // namespace

int main()
{
    tap::attach();
    measures_only_dispatches_of_loops();
    keeps_results_and_errno();
    hands_on_the_mode_of_open();
    lets_cancellation_through();
    stands_signals();
    stands_forks();
    tap::detach();
    return all_good ? 0 : 1;
}
