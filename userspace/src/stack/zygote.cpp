// SPDX-License-Identifier: Apache-2.0
#include "stack/zygote.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "stack/confinement.hpp"
#include "stack/descriptor_message.hpp"
#include "stack/worker_loop.hpp"

namespace loopwatch {
namespace {

constexpr int socket_number = 3;       // in the zygote and in its workers
constexpr int answer_limit_ms = 5000;  // a fork takes less than a millisecond: it is stopped, or gone

constexpr const char* lost = "the process that starts symbol workers has ended";

// -1: the core is gone.
int receive_descriptor(int socket)
{
    std::uint8_t byte = 0;
    Fd received;
    const auto take = [&](Fd fd) { received = std::move(fd); };
    while (receive_message(socket, {&byte, 1}, 0, take) < 0 && errno == EINTR) {
    }
    return received.release();
}

void lose_signals_and_descriptors(int socket)
{
    // A terminal's ^C reaches the whole group; the core ends this process when it is done with it.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) std::signal(number, SIG_IGN);
    for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGCHLD, SIGALRM}) std::signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);

    // Libraries print what they find wrong with a file, with the file's own strings: nowhere is the right place for it.
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < socket_number; ++fd) ::dup2(null, fd);
    if (socket != socket_number) ::dup2(socket, socket_number);
    ::close_range(socket_number + 1, ~0u, 0);

    ::unsetenv("DEBUGINFOD_URLS");  // nobody is to ask the network for what a hostile build-id names
}

[[noreturn]] void become_zygote(int socket, Progress& progress, pid_t core)
{
    ::prctl(PR_SET_NAME, "loopwatch-zyg");
    lose_signals_and_descriptors(socket);
    if (!confine_zygote(core)) ::_exit(1);
    for (int served = 0; (served = receive_descriptor(socket_number)) >= 0; ::close(served)) {
        // Not fork(): CLONE_PARENT makes the worker the core's child, which can wait for it.
        const auto worker = static_cast<pid_t>(::syscall(SYS_clone, worker_clone_flags, nullptr, nullptr, nullptr, 0));
        if (worker == 0) {
            ::dup2(served, socket_number);
            ::close(served);
            become_worker(socket_number, progress, core);
        }
        const pid_t answer = worker > 0 ? worker : -errno;
        if (::send(socket_number, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) break;
    }
    ::_exit(0);
}

}  // namespace

Result<Zygote> Zygote::start(Progress& progress)
{
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return errno_error(ExitCode::failed, "symbol worker");
    Fd ours(pair[0]), theirs(pair[1]);
    const pid_t core = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return errno_error(ExitCode::failed, "symbol worker");
    if (child == 0) become_zygote(theirs.raw(), progress, core);
    return Zygote(child, std::move(ours));
}

Zygote::Zygote(Zygote&& other) noexcept : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_))
{
}

Result<pid_t> Zygote::fork_worker(Fd socket)
{
    pid_t answer = 0;
    pollfd ready = {socket_.raw(), POLLIN, 0};
    const auto answers = [&] {
        using Clock = std::chrono::steady_clock;
        const auto until = Clock::now() + std::chrono::milliseconds(answer_limit_ms);
        int left_ms = answer_limit_ms, count = 0;
        while ((count = ::poll(&ready, 1, left_ms)) < 0 && errno == EINTR)
            left_ms = std::max(
                0,
                static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count()));
        return count == 1 && ::recv(socket_.raw(), &answer, sizeof answer, MSG_DONTWAIT) == sizeof answer;
    };
    constexpr std::uint8_t byte = 0;
    if (pid_ <= 0 || send_message(socket_.raw(), {&byte, 1}, socket.raw()) != 1 || !answers()) {
        end();
        return Error{ExitCode::failed, lost, "start loopwatch again"};
    }
    if (answer < 0) {
        errno = -answer;
        return errno_error(ExitCode::failed, "symbol worker");
    }
    // Not that a child of ours is killed in its place.
    siginfo_t info = {};
    if (answer == pid_ || ::waitid(P_PID, static_cast<id_t>(answer), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        end();
        return Error{ExitCode::failed, lost, "start loopwatch again"};
    }
    return answer;
}

void Zygote::end()
{
    socket_.reset();
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
}

}  // namespace loopwatch
