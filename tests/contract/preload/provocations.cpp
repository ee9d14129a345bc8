// SPDX-License-Identifier: Apache-2.0
#include "provocations.hpp"

#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "provoking.hpp"

// What _FORTIFY_SOURCE calls; no header declares them.
extern "C" {
int __open_2(const char*, int);
int __open64_2(const char*, int);
int __openat_2(int, const char*, int);
int __openat64_2(int, const char*, int);
ssize_t __read_chk(int, void*, size_t, size_t);
ssize_t __pread_chk(int, void*, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void*, size_t, off_t, size_t);
ssize_t __recv_chk(int, void*, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void*, size_t, size_t, int, sockaddr*, socklen_t*);
int __poll_chk(pollfd*, nfds_t, int, size_t);
int __ppoll_chk(pollfd*, nfds_t, const timespec*, const sigset_t*, size_t);
}

namespace {

// sleep() counts in seconds: a signal ends it early.
Expected provoke_sleep()
{
    struct sigaction ignore = {};
    ignore.sa_handler = [](int) {};
    sigaction(SIGUSR1, &ignore, nullptr);
    Rescuer rescuer([main = pthread_self()] { pthread_kill(main, SIGUSR1); });
    tap::clear();
    sleep(1);
    return {.arg = 1'000'000'000};
}

// Opening a fifo for reading waits for a writer.
template <class Call>
Provocation opening(Call call)
{
    return [=] {
        static int number = 0;
        const std::string path = scratch("fifo" + std::to_string(number++));
        mkfifo(path.c_str(), 0600);
        int writer = -1;
        Expected expected{.text = path};
        {
            Rescuer rescuer([&] { writer = open(path.c_str(), O_WRONLY); });
            tap::clear();
            expected.fd = call(path.c_str());
        }
        close(writer);
        close(expected.fd);
        return expected;
    };
}

// One description of a file holds a lock that another wants.
template <class Hold, class Release, class Call>
Provocation locking_file(Hold hold, Release release, Call call)
{
    return [=] {
        const std::string path = scratch("locked");
        const int holds = open(path.c_str(), O_RDWR | O_CREAT, 0600), wants = open(path.c_str(), O_RDWR);
        {
            Rescuer holder([=] { release(holds); }, [=] { hold(holds); });
            tap::clear();
            call(wants);
        }
        close(holds);
        close(wants);
        return Expected{.fd = wants};
    };
}

// fcntl's locks of a whole process never meet each other here; those of a description do.
struct flock whole(short type)
{
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
}

template <class Call>
Provocation locking_description(Call call)
{
    const auto set = [](int fd, short type) {
        struct flock lock = whole(type);
        fcntl(fd, F_OFD_SETLK, &lock);
    };
    return locking_file([=](int fd) { set(fd, F_WRLCK); }, [=](int fd) { set(fd, F_UNLCK); }, call);
}

template <class Call>
Provocation waiting_for_epoll(Call call)
{
    return [=] {
        const int fd = epoll_create1(EPOLL_CLOEXEC);
        epoll_event event;
        tap::clear();
        call(fd, &event);
        close(fd);
        return Expected{.fd = fd, .arg = block_ns};
    };
}

// Reads from what is empty until somebody writes.
template <class Call>
Provocation reading(Ends (*make)(), std::uint64_t arg, Call call)
{
    return [=] {
        const Ends ends = make();
        Rescuer rescuer([&] { write(ends.out, "x", 1) == 1 ? void() : std::abort(); });
        tap::clear();
        call(ends.in);
        return Expected{.fd = ends.in, .arg = arg};
    };
}

// Writes to what is full until somebody reads.
template <class Call>
Provocation writing(Ends (*make)(), std::uint64_t arg, Call call)
{
    return [=] {
        const Ends ends = make();
        fill(ends.out);
        Rescuer rescuer([&] { drain(ends.in); });
        tap::clear();
        call(ends.out);
        return Expected{.fd = ends.out, .arg = arg};
    };
}

struct UnixListener {
    sockaddr_un address = {};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    explicit UnixListener(const char* name)
    {
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, scratch(name).c_str());
        unlink(address.sun_path);
        bind(fd, peer(), sizeof address);
        listen(fd, 0);
    }
    ~UnixListener() { close(fd); }
    const sockaddr* peer() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// A unix socket's connect waits while the backlog is full; one of 0 holds one.
Expected provoke_connect()
{
    const UnixListener listener("connect");
    const int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(first, listener.peer(), sizeof listener.address);
    Rescuer rescuer([&] { close(accept(listener.fd, nullptr, nullptr)); });
    tap::clear();
    connect(second, listener.peer(), sizeof listener.address);
    close(first);
    close(second);
    return {.fd = second, .text = listener.address.sun_path};
}

template <class Call>
Provocation accepting(Call call)
{
    return [=] {
        const UnixListener listener("accept");
        const int client = socket(AF_UNIX, SOCK_STREAM, 0);
        Rescuer rescuer([&] { connect(client, listener.peer(), sizeof listener.address); });
        tap::clear();
        const int accepted = call(listener.fd);
        close(accepted);
        return Expected{.fd = listener.fd, .arg = static_cast<std::uint64_t>(accepted)};
    };
}

sockaddr_in discard_port()
{
    sockaddr_in peer = {};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(9);
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return peer;
}

// Datagrams to the loopback do not block; what counts is the peer.
Expected provoke_sendto()
{
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    const sockaddr_in peer = discard_port();
    tap::clear();
    sendto(fd, "x", 1, 0, reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
    close(fd);
    return {.fd = fd, .arg = 1, .text = "127.0.0.1:9", .at_least_ns = 0};
}

// Waits for a lock that another thread holds.
template <class Lock, class Init, class Hold, class Release, class Call>
Provocation locking(Init init, Hold hold, Release release, Call call)
{
    return [=] {
        Lock lock;
        init(&lock);
        {
            Rescuer holder([&] { release(&lock); }, [&] { hold(&lock); });
            tap::clear();
            call(&lock);
        }
        release(&lock);
        return Expected{.arg = reinterpret_cast<std::uint64_t>(&lock)};
    };
}

template <class Call>
Provocation locking_mutex(Call call)
{
    return locking<pthread_mutex_t>([](pthread_mutex_t* mutex) { pthread_mutex_init(mutex, nullptr); },
                                    [](pthread_mutex_t* mutex) { pthread_mutex_lock(mutex); },
                                    [](pthread_mutex_t* mutex) { pthread_mutex_unlock(mutex); }, call);
}

template <class Call>
Provocation locking_rwlock(Call call)
{
    return locking<pthread_rwlock_t>([](pthread_rwlock_t* lock) { pthread_rwlock_init(lock, nullptr); },
                                     [](pthread_rwlock_t* lock) { pthread_rwlock_wrlock(lock); },
                                     [](pthread_rwlock_t* lock) { pthread_rwlock_unlock(lock); }, call);
}

template <class Call>
Provocation locking_mtx(Call call)
{
    return locking<mtx_t>([](mtx_t* mutex) { mtx_init(mutex, mtx_timed); }, [](mtx_t* mutex) { mtx_lock(mutex); },
                          [](mtx_t* mutex) { mtx_unlock(mutex); }, call);
}

template <class Call>
Provocation waiting_for_semaphore(Call call)
{
    return [=] {
        sem_t semaphore;
        sem_init(&semaphore, 0, 0);
        Rescuer rescuer([&] { sem_post(&semaphore); });
        tap::clear();
        call(&semaphore);
        return Expected{.arg = reinterpret_cast<std::uint64_t>(&semaphore)};
    };
}

Expected provoke_barrier()
{
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, nullptr, 2);
    Rescuer rescuer([&] { pthread_barrier_wait(&barrier); });
    tap::clear();
    pthread_barrier_wait(&barrier);
    return {.arg = reinterpret_cast<std::uint64_t>(&barrier)};
}

sem_t may_end;

// A thread that ends when the rescuer lets it.
template <class Thread, class Start, class Call>
Provocation joining(Start start, Call call)
{
    return [=] {
        sem_init(&may_end, 0, 0);
        Thread thread = {};
        start(&thread);
        Rescuer rescuer([&] { sem_post(&may_end); });
        tap::clear();
        call(thread);
        return Expected{.arg = static_cast<std::uint64_t>(thread)};
    };
}

void start_pthread(pthread_t* thread)
{
    pthread_create(
        thread, nullptr, [](void*) -> void* { return sem_wait(&may_end), nullptr; }, nullptr);
}

void start_thrd(thrd_t* thread)
{
    thrd_create(
        thread, [](void*) { return sem_wait(&may_end); }, nullptr);
}

template <class Call>
Provocation waiting_for_cond(Call call)
{
    return [=] {
        pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
        pthread_mutex_lock(&mutex);
        Rescuer rescuer([&] { pthread_cond_signal(&cond); });
        tap::clear();
        call(&cond, &mutex);
        pthread_mutex_unlock(&mutex);
        return Expected{.arg = reinterpret_cast<std::uint64_t>(&cond)};
    };
}

template <class Call>
Provocation waiting_for_cnd(Call call)
{
    return [=] {
        mtx_t mutex;
        cnd_t cond;
        mtx_init(&mutex, mtx_plain);
        cnd_init(&cond);
        mtx_lock(&mutex);
        Rescuer rescuer([&] { cnd_signal(&cond); });
        tap::clear();
        call(&cond, &mutex);
        mtx_unlock(&mutex);
        return Expected{.arg = reinterpret_cast<std::uint64_t>(&cond)};
    };
}

timespec in_a_minute()
{
    timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    return until;
}

template <class Call>
Provocation waiting_for_child(Call call)
{
    return [=] {
        const pid_t child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        Rescuer rescuer([=] { kill(child, SIGKILL); });
        tap::clear();
        call(child);
        return Expected{.arg = static_cast<std::uint64_t>(child)};
    };
}

pollfd nobody = {-1, 0, 0};
const int nowhere = open("/dev/null", O_WRONLY);  // before anybody taps
const Ends spare = pipe_ends();
void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
timeval block_timeval()
{
    return {0, static_cast<suseconds_t>(block_ns / 1000)};
}

// open with a mode: the wrapper must hand it on.
int open_new(const char* path, int flags)
{
    return open(path, flags | O_CREAT, 0600);
}

}  // namespace

const std::map<std::string, Provocation>& provocations()
{
    constexpr std::uint64_t ns = block_ns;
    constexpr int ms = block_ns / 1'000'000;
    static iovec vector = {buffer, 1};
    static msghdr message = {nullptr, 0, &vector, 1, nullptr, 0, 0};
    static std::map<std::string, Provocation> all = {
        {"sleep", provoke_sleep},
        {"usleep", timed(ns, [] { usleep(block_ns / 1000); })},
        {"nanosleep", timed(ns, [] { nanosleep(&block, nullptr); })},
        {"clock_nanosleep", timed(ns, [] { clock_nanosleep(CLOCK_MONOTONIC, 0, &block, nullptr); })},
        {"thrd_sleep", timed(ns, [] { thrd_sleep(&block, nullptr); })},

        {"fsync", on_file(0, [](int fd) { fsync(fd); })},
        {"fdatasync", on_file(0, [](int fd) { fdatasync(fd); })},
        {"open", opening([](const char* path) { return open_new(path, O_RDONLY); })},
        {"open64", opening([](const char* path) { return open64(path, O_RDONLY); })},
        {"__open_2", opening([](const char* path) { return __open_2(path, O_RDONLY); })},
        {"__open64_2", opening([](const char* path) { return __open64_2(path, O_RDONLY); })},
        {"openat", opening([](const char* path) { return openat(AT_FDCWD, path, O_RDONLY); })},
        {"openat64", opening([](const char* path) { return openat64(AT_FDCWD, path, O_RDONLY); })},
        {"__openat_2", opening([](const char* path) { return __openat_2(AT_FDCWD, path, O_RDONLY); })},
        {"__openat64_2", opening([](const char* path) { return __openat64_2(AT_FDCWD, path, O_RDONLY); })},
        {"read", reading(pipe_ends, 7, [](int fd) { return read(fd, buffer, 7); })},
        {"__read_chk", reading(pipe_ends, 7, [](int fd) { return __read_chk(fd, buffer, 7, sizeof buffer); })},
        {"readv", reading(pipe_ends, 1, [](int fd) { return readv(fd, &vector, 1); })},
        {"pread", on_file(7, [](int fd) { return pread(fd, buffer, 7, 0); })},
        {"pread64", on_file(7, [](int fd) { return pread64(fd, buffer, 7, 0); })},
        {"__pread_chk", on_file(7, [](int fd) { return __pread_chk(fd, buffer, 7, 0, sizeof buffer); })},
        {"__pread64_chk", on_file(7, [](int fd) { return __pread64_chk(fd, buffer, 7, 0, sizeof buffer); })},
        {"write", writing(pipe_ends, 7, [](int fd) { return write(fd, buffer, 7); })},
        {"writev", writing(pipe_ends, 1, [](int fd) { return writev(fd, &vector, 1); })},
        {"pwrite", on_file(7, [](int fd) { return pwrite(fd, buffer, 7, 0); })},
        {"pwrite64", on_file(7, [](int fd) { return pwrite64(fd, buffer, 7, 0); })},
        {"preadv", on_file(1, [](int fd) { return preadv(fd, &vector, 1, 0); })},
        {"preadv64", on_file(1, [](int fd) { return preadv64(fd, &vector, 1, 0); })},
        {"preadv2", on_file(1, [](int fd) { return preadv2(fd, &vector, 1, 0, 0); })},
        {"preadv64v2", on_file(1, [](int fd) { return preadv64v2(fd, &vector, 1, 0, 0); })},
        {"pwritev", on_file(1, [](int fd) { return pwritev(fd, &vector, 1, 0); })},
        {"pwritev64", on_file(1, [](int fd) { return pwritev64(fd, &vector, 1, 0); })},
        {"pwritev2", on_file(1, [](int fd) { return pwritev2(fd, &vector, 1, 0, 0); })},
        {"pwritev64v2", on_file(1, [](int fd) { return pwritev64v2(fd, &vector, 1, 0, 0); })},
        {"sendfile", on_file(7, [](int fd) { off_t at = 0; return sendfile(fd, fd, &at, 7); })},
        {"sendfile64", on_file(7, [](int fd) { off64_t at = 0; return sendfile64(fd, fd, &at, 7); })},
        {"copy_file_range", on_file(7, [](int fd) { return copy_file_range(fd, nullptr, fd, nullptr, 7, 0); })},
        {"splice", reading(pipe_ends, 7, [](int fd) { return splice(fd, nullptr, nowhere, nullptr, 7, 0); })},
        {"tee", reading(pipe_ends, 7, [](int fd) { return tee(fd, spare.out, 7, 0); })},
        {"vmsplice", writing(pipe_ends, 1, [](int fd) { return vmsplice(fd, &vector, 1, 0); })},
        {"close", on_file(0, [](int fd) { return close(fd); })},
        {"ftruncate", on_file(0, [](int fd) { return ftruncate(fd, 7); })},
        {"ftruncate64", on_file(0, [](int fd) { return ftruncate64(fd, 7); })},
        {"truncate", quick({.text = "/nonexistent"}, [] { (void)!truncate("/nonexistent", 7); })},
        {"truncate64", quick({.text = "/nonexistent"}, [] { (void)!truncate64("/nonexistent", 7); })},
        {"fallocate", on_file(0, [](int fd) { return fallocate(fd, 0, 0, 7); })},
        {"fallocate64", on_file(0, [](int fd) { return fallocate64(fd, 0, 0, 7); })},
        {"posix_fallocate", on_file(0, [](int fd) { return posix_fallocate(fd, 0, 7); })},
        {"posix_fallocate64", on_file(0, [](int fd) { return posix_fallocate64(fd, 0, 7); })},
        {"sync", quick({}, [] { sync(); })},
        {"syncfs", on_file(0, [](int fd) { return syncfs(fd); })},
        {"sync_file_range", on_file(7, [](int fd) { return sync_file_range(fd, 0, 7, SYNC_FILE_RANGE_WRITE); })},
        {"msync", quick({.arg = 4096}, [] { msync(page, 4096, MS_SYNC); })},
        {"flock", locking_file([](int fd) { flock(fd, LOCK_EX); }, [](int fd) { flock(fd, LOCK_UN); },
                               [](int fd) { flock(fd, LOCK_EX); })},
        {"lockf", on_file(0, [](int fd) { return lockf(fd, F_LOCK, 1); })},
        {"lockf64", on_file(0, [](int fd) { return lockf64(fd, F_LOCK, 1); })},
        {"fcntl", locking_description([](int fd) { struct flock lock = whole(F_WRLCK); fcntl(fd, F_OFD_SETLKW, &lock); })},
        {"fcntl64", locking_description([](int fd) { struct flock lock = whole(F_WRLCK); fcntl64(fd, F_OFD_SETLKW, &lock); })},

        {"connect", provoke_connect},
        {"accept", accepting([](int fd) { return accept(fd, nullptr, nullptr); })},
        {"accept4", accepting([](int fd) { return accept4(fd, nullptr, nullptr, SOCK_CLOEXEC); })},
        {"send", writing(socket_ends, 7, [](int fd) { return send(fd, buffer, 7, 0); })},
        {"sendto", provoke_sendto},
        {"sendmsg", writing(socket_ends, 0, [](int fd) { return sendmsg(fd, &message, 0); })},
        {"recv", reading(socket_ends, 7, [](int fd) { return recv(fd, buffer, 7, 0); })},
        {"__recv_chk", reading(socket_ends, 7, [](int fd) { return __recv_chk(fd, buffer, 7, sizeof buffer, 0); })},
        {"recvfrom", reading(socket_ends, 7, [](int fd) { return recvfrom(fd, buffer, 7, 0, nullptr, nullptr); })},
        {"__recvfrom_chk",
         reading(socket_ends, 7, [](int fd) { return __recvfrom_chk(fd, buffer, 7, sizeof buffer, 0, nullptr, nullptr); })},
        {"recvmsg", reading(socket_ends, 0, [](int fd) { return recvmsg(fd, &message, 0); })},
        {"recvmmsg", reading(socket_ends, 1, [](int fd) { mmsghdr one = {message, 0}; return recvmmsg(fd, &one, 1, 0, nullptr); })},
        {"sendmmsg", writing(socket_ends, 1, [](int fd) { mmsghdr one = {message, 0}; return sendmmsg(fd, &one, 1, 0); })},

        {"poll", reading(pipe_ends, ~0ull, [](int fd) { pollfd one = {fd, POLLIN, 0}; poll(&one, 1, -1); })},
        {"__poll_chk", timed(ns, [] { __poll_chk(&nobody, 1, ms, sizeof nobody); })},
        {"ppoll", timed(ns, [] { ppoll(&nobody, 1, &block, nullptr); })},
        {"__ppoll_chk", timed(ns, [] { __ppoll_chk(&nobody, 1, &block, nullptr, sizeof nobody); })},
        {"select", timed(0, [] { timeval t = block_timeval(); select(0, nullptr, nullptr, nullptr, &t); })},
        {"pselect", timed(ns, [] { pselect(0, nullptr, nullptr, nullptr, &block, nullptr); })},
        {"epoll_wait", waiting_for_epoll([](int fd, epoll_event* event) { epoll_wait(fd, event, 1, ms); })},
        {"epoll_pwait", waiting_for_epoll([](int fd, epoll_event* event) { epoll_pwait(fd, event, 1, ms, nullptr); })},
        {"epoll_pwait2", waiting_for_epoll([](int fd, epoll_event* event) { epoll_pwait2(fd, event, 1, &block, nullptr); })},

        {"getaddrinfo", [] {
             addrinfo* list = nullptr;
             tap::clear();
             if (getaddrinfo("localhost", nullptr, nullptr, &list) == 0) freeaddrinfo(list);
             return Expected{.text = "localhost", .at_least_ns = 0};
         }},
        {"gethostbyname", [] {
             tap::clear();
             gethostbyname("localhost");
             return Expected{.text = "localhost", .at_least_ns = 0};
         }},

        {"gethostbyname2", quick({.text = "localhost"}, [] { gethostbyname2("localhost", AF_INET); })},
        {"gethostbyaddr", quick({}, [] { const in_addr_t host = htonl(INADDR_LOOPBACK); gethostbyaddr(&host, sizeof host, AF_INET); })},
        {"getnameinfo", quick({.text = "127.0.0.1:9"}, [] {
             const sockaddr_in peer = discard_port();
             char host[NI_MAXHOST];
             getnameinfo(reinterpret_cast<const sockaddr*>(&peer), sizeof peer, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
         })},

        {"pthread_mutex_lock", locking_mutex([](pthread_mutex_t* mutex) { pthread_mutex_lock(mutex); })},
        {"pthread_mutex_timedlock",
         locking_mutex([](pthread_mutex_t* mutex) { const timespec until = in_a_minute(); pthread_mutex_timedlock(mutex, &until); })},
        {"pthread_mutex_clocklock", locking_mutex([](pthread_mutex_t* mutex) {
             const timespec until = in_a_minute();
             pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &until);
         })},
        {"pthread_rwlock_rdlock", locking_rwlock([](pthread_rwlock_t* lock) { pthread_rwlock_rdlock(lock); })},
        {"pthread_rwlock_timedrdlock",
         locking_rwlock([](pthread_rwlock_t* lock) { const timespec until = in_a_minute(); pthread_rwlock_timedrdlock(lock, &until); })},
        {"pthread_rwlock_clockrdlock", locking_rwlock([](pthread_rwlock_t* lock) {
             const timespec until = in_a_minute();
             pthread_rwlock_clockrdlock(lock, CLOCK_REALTIME, &until);
         })},
        {"pthread_rwlock_wrlock", locking_rwlock([](pthread_rwlock_t* lock) { pthread_rwlock_wrlock(lock); })},
        {"pthread_rwlock_timedwrlock",
         locking_rwlock([](pthread_rwlock_t* lock) { const timespec until = in_a_minute(); pthread_rwlock_timedwrlock(lock, &until); })},
        {"pthread_rwlock_clockwrlock", locking_rwlock([](pthread_rwlock_t* lock) {
             const timespec until = in_a_minute();
             pthread_rwlock_clockwrlock(lock, CLOCK_REALTIME, &until);
         })},
        {"pthread_barrier_wait", provoke_barrier},
        {"pthread_join", joining<pthread_t>(start_pthread, [](pthread_t thread) { pthread_join(thread, nullptr); })},
        {"pthread_timedjoin_np", joining<pthread_t>(start_pthread, [](pthread_t thread) {
             const timespec until = in_a_minute();
             pthread_timedjoin_np(thread, nullptr, &until);
         })},
        {"pthread_clockjoin_np", joining<pthread_t>(start_pthread, [](pthread_t thread) {
             const timespec until = in_a_minute();
             pthread_clockjoin_np(thread, nullptr, CLOCK_REALTIME, &until);
         })},
        {"thrd_join", joining<thrd_t>(start_thrd, [](thrd_t thread) { thrd_join(thread, nullptr); })},
        {"sem_wait", waiting_for_semaphore([](sem_t* semaphore) { sem_wait(semaphore); })},
        {"sem_timedwait",
         waiting_for_semaphore([](sem_t* semaphore) { const timespec until = in_a_minute(); sem_timedwait(semaphore, &until); })},
        {"sem_clockwait", waiting_for_semaphore([](sem_t* semaphore) {
             const timespec until = in_a_minute();
             sem_clockwait(semaphore, CLOCK_REALTIME, &until);
         })},
        {"mtx_lock", locking_mtx([](mtx_t* mutex) { mtx_lock(mutex); })},
        {"mtx_timedlock", locking_mtx([](mtx_t* mutex) { const timespec until = in_a_minute(); mtx_timedlock(mutex, &until); })},
        {"cnd_wait", waiting_for_cnd([](cnd_t* cond, mtx_t* mutex) { cnd_wait(cond, mutex); })},
        {"cnd_timedwait",
         waiting_for_cnd([](cnd_t* cond, mtx_t* mutex) { const timespec until = in_a_minute(); cnd_timedwait(cond, mutex, &until); })},
        {"pthread_cond_clockwait", waiting_for_cond([](pthread_cond_t* cond, pthread_mutex_t* mutex) {
             const timespec until = in_a_minute();
             pthread_cond_clockwait(cond, mutex, CLOCK_REALTIME, &until);
         })},
        {"pthread_cond_wait",
         waiting_for_cond([](pthread_cond_t* cond, pthread_mutex_t* mutex) { pthread_cond_wait(cond, mutex); })},
        {"pthread_cond_timedwait", waiting_for_cond([](pthread_cond_t* cond, pthread_mutex_t* mutex) {
             const timespec until = in_a_minute();
             pthread_cond_timedwait(cond, mutex, &until);
         })},

        {"wait", waiting_for_child([](pid_t) { wait(nullptr); })},
        {"waitpid", waiting_for_child([](pid_t child) { waitpid(child, nullptr, 0); })},
        {"wait4", waiting_for_child([](pid_t child) { wait4(child, nullptr, 0, nullptr); })},
        {"wait3", waiting_for_child([](pid_t) { wait3(nullptr, 0, nullptr); })},
        {"waitid", waiting_for_child([](pid_t child) { siginfo_t info; waitid(P_PID, static_cast<id_t>(child), &info, WEXITED); })},
        {"system", [] {
             tap::clear();
             (void)!system("sleep 0.002");
             return Expected{.text = "sleep 0.002"};
         }},
    };
    [[maybe_unused]] static const bool whole = [] {
        for (const auto* more : {&more_provocations(), &ring_provocations()}) all.insert(more->begin(), more->end());
        return true;
    }();
    return all;
}
