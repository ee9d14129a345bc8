// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include <dirent.h>
#include <grp.h>
#include <mqueue.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <resolv.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <syslog.h>
#include <termios.h>

#include "provoking.hpp"

// What _FORTIFY_SOURCE calls; no header declares them.
extern "C" {
size_t __fread_chk(void*, size_t, size_t, size_t, FILE*);
char* __fgets_chk(char*, size_t, int, FILE*);
int __vfprintf_chk(FILE*, int, const char*, va_list);
}

namespace {

// The compiler, and libc's own headers, make others of them.
int (*volatile real_fputs)(const char*, FILE*) = fputs;
ssize_t (*volatile real_getline)(char**, size_t*, FILE*) = getline;

unsigned char answer[512];
void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

template <class Call>
Provocation on_stream(Call call, std::string text = {})
{
    return [=] {
        FILE* const stream = fopen(scratch("stream").c_str(), "w+");
        const Expected expected{.arg = reinterpret_cast<std::uint64_t>(stream), .text = text, .at_least_ns = 0};
        tap::clear();
        call(stream);
        return expected;
    };
}

template <class Call>
Provocation on_directory(Call call)
{
    return [=] {
        DIR* const directory = opendir("/");
        const Expected expected{.arg = reinterpret_cast<std::uint64_t>(directory), .at_least_ns = 0};
        tap::clear();
        call(directory);
        return expected;
    };
}

// Of a name that the call fills in.
template <class Call>
Provocation naming(Call call)
{
    return [=] {
        char path[] = "/nonexistent/XXXXXX";
        tap::clear();
        call(path);
        return Expected{.text = path, .at_least_ns = 0};
    };
}

// A signal that is blocked, until somebody sends it.
template <class Call>
Provocation waiting_for_signal(Call call)
{
    return [=] {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
        Rescuer rescuer([main = pthread_self()] { pthread_kill(main, SIGUSR2); });
        tap::clear();
        call(&set);
        return Expected{};
    };
}

// A wait that a handled signal ends.
template <class Call>
Provocation interrupted(Call call)
{
    return [=] {
        struct sigaction ignore = {};
        ignore.sa_handler = [](int) {};
        sigaction(SIGUSR1, &ignore, nullptr);
        Rescuer rescuer([main = pthread_self()] { pthread_kill(main, SIGUSR1); });
        tap::clear();
        call();
        return Expected{};
    };
}

void print_to(FILE* stream, const char* format, ...)
{
    va_list list;
    va_start(list, format);
    vfprintf(stream, format, list);
    va_end(list);
}

void print_checked_to(FILE* stream, const char* format, ...)
{
    va_list list;
    va_start(list, format);
    __vfprintf_chk(stream, 1, format, list);
    va_end(list);
}

void log_to(int priority, const char* format, ...)
{
    va_list list;
    va_start(list, format);
    vsyslog(priority, format, list);
    va_end(list);
}

Expected provoke_semtimedop()
{
    const int semaphore = semget(IPC_PRIVATE, 1, 0600);
    sembuf take = {0, -1, 0};
    tap::clear();
    (void)!semtimedop(semaphore, &take, 1, &block);
    semctl(semaphore, 0, IPC_RMID);
    return {.arg = block_ns};
}

Expected provoke_pclose()
{
    FILE* const stream = popen("sleep 0.01", "r");
    const Expected expected{.arg = reinterpret_cast<std::uint64_t>(stream)};
    tap::clear();
    pclose(stream);
    return expected;
}

}  // namespace

const std::map<std::string, Provocation>& more_provocations()
{
    constexpr std::uint64_t ns = block_ns;
    static const std::map<std::string, Provocation> all = {
        // Names in directories, and what stands behind them.
        {"stat", quick({.text = "/nonexistent"},
                       [] {
                           struct stat to;
                           (void)!stat("/nonexistent", &to);
                       })},
        {"stat64", quick({.text = "/nonexistent"},
                         [] {
                             struct stat64 to;
                             (void)!stat64("/nonexistent", &to);
                         })},
        {"lstat", quick({.text = "/nonexistent"},
                        [] {
                            struct stat to;
                            (void)!lstat("/nonexistent", &to);
                        })},
        {"lstat64", quick({.text = "/nonexistent"},
                          [] {
                              struct stat64 to;
                              (void)!lstat64("/nonexistent", &to);
                          })},
        {"fstat", on_file(0,
                          [](int fd) {
                              struct stat to;
                              (void)!fstat(fd, &to);
                          })},
        {"fstat64", on_file(0,
                            [](int fd) {
                                struct stat64 to;
                                (void)!fstat64(fd, &to);
                            })},
        {"fstatat", quick({.text = "/nonexistent"},
                          [] {
                              struct stat to;
                              (void)!fstatat(AT_FDCWD, "/nonexistent", &to, 0);
                          })},
        {"fstatat64", quick({.text = "/nonexistent"},
                            [] {
                                struct stat64 to;
                                (void)!fstatat64(AT_FDCWD, "/nonexistent", &to, 0);
                            })},
        {"statx", quick({.text = "/nonexistent"},
                        [] {
                            struct statx to;
                            (void)!statx(AT_FDCWD, "/nonexistent", 0, STATX_ALL, &to);
                        })},
        {"access", quick({.text = "/nonexistent"}, [] { (void)!access("/nonexistent", R_OK); })},
        {"faccessat", quick({.text = "/nonexistent"}, [] { (void)!faccessat(AT_FDCWD, "/nonexistent", R_OK, 0); })},
        {"rename", quick({.text = "/nonexistent"}, [] { (void)!rename("/nonexistent", "/nonexistent"); })},
        {"renameat",
         quick({.text = "/nonexistent"}, [] { (void)!renameat(AT_FDCWD, "/nonexistent", AT_FDCWD, "/nonexistent"); })},
        {"renameat2", quick({.text = "/nonexistent"},
                            [] { (void)!renameat2(AT_FDCWD, "/nonexistent", AT_FDCWD, "/nonexistent", 0); })},
        {"unlink", quick({.text = "/nonexistent"}, [] { (void)!unlink("/nonexistent"); })},
        {"unlinkat", quick({.text = "/nonexistent"}, [] { (void)!unlinkat(AT_FDCWD, "/nonexistent", 0); })},
        {"remove", quick({.text = "/nonexistent"}, [] { (void)!remove("/nonexistent"); })},
        {"mkdir", quick({.text = "/nonexistent/x"}, [] { (void)!mkdir("/nonexistent/x", 0700); })},
        {"mkdirat", quick({.text = "/nonexistent/x"}, [] { (void)!mkdirat(AT_FDCWD, "/nonexistent/x", 0700); })},
        {"rmdir", quick({.text = "/nonexistent"}, [] { (void)!rmdir("/nonexistent"); })},
        {"link", quick({.text = "/nonexistent"}, [] { (void)!link("/nonexistent", "/nonexistent"); })},
        {"linkat",
         quick({.text = "/nonexistent"}, [] { (void)!linkat(AT_FDCWD, "/nonexistent", AT_FDCWD, "/nonexistent", 0); })},
        {"symlink", quick({.text = "/nonexistent"}, [] { (void)!symlink("/nonexistent", "/nonexistent/x"); })},
        {"symlinkat",
         quick({.text = "/nonexistent"}, [] { (void)!symlinkat("/nonexistent", AT_FDCWD, "/nonexistent/x"); })},
        {"readlink", quick({.text = "/nonexistent"}, [] { (void)!readlink("/nonexistent", buffer, sizeof buffer); })},
        {"readlinkat",
         quick({.text = "/nonexistent"}, [] { (void)!readlinkat(AT_FDCWD, "/nonexistent", buffer, sizeof buffer); })},
        {"realpath", quick({.text = "/nonexistent"}, [] { free(realpath("/nonexistent", nullptr)); })},
        {"chmod", quick({.text = "/nonexistent"}, [] { (void)!chmod("/nonexistent", 0600); })},
        {"fchmod", on_file(0, [](int fd) { (void)!fchmod(fd, 0600); })},
        {"fchmodat", quick({.text = "/nonexistent"}, [] { (void)!fchmodat(AT_FDCWD, "/nonexistent", 0600, 0); })},
        {"chown", quick({.text = "/nonexistent"}, [] { (void)!chown("/nonexistent", 0, 0); })},
        {"lchown", quick({.text = "/nonexistent"}, [] { (void)!lchown("/nonexistent", 0, 0); })},
        {"fchown", on_file(0, [](int fd) { (void)!fchown(fd, getuid(), getgid()); })},
        {"fchownat", quick({.text = "/nonexistent"}, [] { (void)!fchownat(AT_FDCWD, "/nonexistent", 0, 0, 0); })},
        {"utimensat", quick({.text = "/nonexistent"}, [] { (void)!utimensat(AT_FDCWD, "/nonexistent", nullptr, 0); })},
        {"futimens", on_file(0, [](int fd) { (void)!futimens(fd, nullptr); })},
        {"utimes", quick({.text = "/nonexistent"}, [] { (void)!utimes("/nonexistent", nullptr); })},
        {"statfs", quick({.text = "/nonexistent"},
                         [] {
                             struct statfs to;
                             (void)!statfs("/nonexistent", &to);
                         })},
        {"statfs64", quick({.text = "/nonexistent"},
                           [] {
                               struct statfs64 to;
                               (void)!statfs64("/nonexistent", &to);
                           })},
        {"statvfs", quick({.text = "/nonexistent"},
                          [] {
                              struct statvfs to;
                              (void)!statvfs("/nonexistent", &to);
                          })},
        {"statvfs64", quick({.text = "/nonexistent"},
                            [] {
                                struct statvfs64 to;
                                (void)!statvfs64("/nonexistent", &to);
                            })},
        {"fstatfs", on_file(0,
                            [](int fd) {
                                struct statfs to;
                                (void)!fstatfs(fd, &to);
                            })},
        {"fstatfs64", on_file(0,
                              [](int fd) {
                                  struct statfs64 to;
                                  (void)!fstatfs64(fd, &to);
                              })},
        {"fstatvfs", on_file(0,
                             [](int fd) {
                                 struct statvfs to;
                                 (void)!fstatvfs(fd, &to);
                             })},
        {"fstatvfs64", on_file(0,
                               [](int fd) {
                                   struct statvfs64 to;
                                   (void)!fstatvfs64(fd, &to);
                               })},
        {"creat", quick({.text = "/nonexistent/x"}, [] { (void)!creat("/nonexistent/x", 0600); })},
        {"creat64", quick({.text = "/nonexistent/x"}, [] { (void)!creat64("/nonexistent/x", 0600); })},
        {"mkstemp", naming([](char* path) { (void)!mkstemp(path); })},
        {"mkstemp64", naming([](char* path) { (void)!mkstemp64(path); })},
        {"mkostemp", naming([](char* path) { (void)!mkostemp(path, O_CLOEXEC); })},
        {"mkostemp64", naming([](char* path) { (void)!mkostemp64(path, O_CLOEXEC); })},
        {"mkdtemp", naming([](char* path) { (void)!mkdtemp(path); })},
        {"getxattr",
         quick({.text = "/nonexistent"}, [] { (void)!getxattr("/nonexistent", "user.x", buffer, sizeof buffer); })},
        {"lgetxattr",
         quick({.text = "/nonexistent"}, [] { (void)!lgetxattr("/nonexistent", "user.x", buffer, sizeof buffer); })},
        {"fgetxattr", on_file(0, [](int fd) { (void)!fgetxattr(fd, "user.x", buffer, sizeof buffer); })},
        {"setxattr", quick({.text = "/nonexistent"}, [] { (void)!setxattr("/nonexistent", "user.x", buffer, 1, 0); })},
        {"fsetxattr", on_file(0, [](int fd) { (void)!fsetxattr(fd, "user.x", buffer, 1, 0); })},
        {"listxattr", quick({.text = "/nonexistent"}, [] { (void)!listxattr("/nonexistent", buffer, sizeof buffer); })},
        {"opendir", quick({.text = "/nonexistent"}, [] { opendir("/nonexistent"); })},
        {"readdir", on_directory([](DIR* directory) { readdir(directory); })},
        {"readdir64", on_directory([](DIR* directory) { readdir64(directory); })},
        {"closedir", on_directory([](DIR* directory) { closedir(directory); })},
        {"scandir", quick({.text = "/nonexistent"},
                          [] {
                              dirent** list;
                              (void)!scandir("/nonexistent", &list, nullptr, nullptr);
                          })},
        {"scandir64", quick({.text = "/nonexistent"},
                            [] {
                                dirent64** list;
                                (void)!scandir64("/nonexistent", &list, nullptr, nullptr);
                            })},

        // Streams. Which descriptor stands behind one, only libc knows: the stream's address is told.
        {"fopen", quick({.text = "/nonexistent"}, [] { fopen("/nonexistent", "r"); })},
        {"fopen64", quick({.text = "/nonexistent"}, [] { fopen64("/nonexistent", "r"); })},
        {"freopen", on_stream([](FILE* stream) { (void)!freopen("/nonexistent", "r", stream); }, "/nonexistent")},
        {"freopen64", on_stream([](FILE* stream) { (void)!freopen64("/nonexistent", "r", stream); }, "/nonexistent")},
        {"fclose", on_stream([](FILE* stream) { fclose(stream); })},
        {"fflush", on_stream([](FILE* stream) { fflush(stream); })},
        {"fread", on_stream([](FILE* stream) { (void)!fread(buffer, 1, 7, stream); })},
        {"__fread_chk", on_stream([](FILE* stream) { (void)!__fread_chk(buffer, sizeof buffer, 1, 7, stream); })},
        {"fwrite", on_stream([](FILE* stream) { (void)!fwrite(buffer, 1, 7, stream); })},
        {"fgets", on_stream([](FILE* stream) { (void)!fgets(buffer, 7, stream); })},
        {"__fgets_chk", on_stream([](FILE* stream) { (void)!__fgets_chk(buffer, sizeof buffer, 7, stream); })},
        {"fputs", on_stream([](FILE* stream) { real_fputs("x", stream); })},
        {"getline", on_stream([](FILE* stream) {
             char* line = nullptr;
             size_t n = 0;
             (void)!real_getline(&line, &n, stream);
             free(line);
         })},
        {"__getdelim", on_stream([](FILE* stream) {
             char* line = nullptr;
             size_t n = 0;
             (void)!__getdelim(&line, &n, '/', stream);
             free(line);
         })},
        {"getdelim", on_stream([](FILE* stream) {
             char* line = nullptr;
             size_t n = 0;
             (void)!getdelim(&line, &n, '/', stream);
             free(line);
         })},
        {"fseek", on_stream([](FILE* stream) { fseek(stream, 0, SEEK_SET); })},
        {"fseeko", on_stream([](FILE* stream) { fseeko(stream, 0, SEEK_SET); })},
        {"fseeko64", on_stream([](FILE* stream) { fseeko64(stream, 0, SEEK_SET); })},
        {"vfprintf", on_stream([](FILE* stream) { print_to(stream, "%d", 7); })},
        {"__vfprintf_chk", on_stream([](FILE* stream) { print_checked_to(stream, "%d", 7); })},
        {"tmpfile", quick({}, [] { fclose(tmpfile()); })},
        {"tmpfile64", quick({}, [] { fclose(tmpfile64()); })},

        // Signals, queues, and the rest.
        {"sigwait", waiting_for_signal([](const sigset_t* set) {
             int number;
             sigwait(set, &number);
         })},
        {"sigwaitinfo", waiting_for_signal([](const sigset_t* set) { sigwaitinfo(set, nullptr); })},
        {"sigtimedwait", timed(ns,
                               [] {
                                   sigset_t set;
                                   sigemptyset(&set);
                                   sigtimedwait(&set, nullptr, &block);
                               })},
        {"sigsuspend", interrupted([] {
             sigset_t none;
             sigemptyset(&none);
             sigsuspend(&none);
         })},
        {"pause", interrupted([] { pause(); })},
        {"msgsnd", quick({.arg = 1},
                         [] {
                             const long message[2] = {1, 0};
                             (void)!msgsnd(-1, message, 1, IPC_NOWAIT);
                         })},
        {"msgrcv", quick({.arg = 1},
                         [] {
                             long message[2];
                             (void)!msgrcv(-1, message, 1, 0, IPC_NOWAIT);
                         })},
        {"semop", quick({.arg = 1},
                        [] {
                            sembuf one = {0, -1, 0};
                            (void)!semop(-1, &one, 1);
                        })},
        {"semtimedop", provoke_semtimedop},
        {"mq_send", on_file(1, [](int fd) { mq_send(fd, buffer, 1, 0); })},
        {"mq_timedsend", on_file(1, [](int fd) { mq_timedsend(fd, buffer, 1, 0, &block); })},
        {"mq_receive", on_file(7, [](int fd) { (void)!mq_receive(fd, buffer, 7, nullptr); })},
        {"mq_timedreceive", on_file(7, [](int fd) { (void)!mq_timedreceive(fd, buffer, 7, nullptr, &block); })},
        {"getrandom", quick({.arg = 7}, [] { (void)!getrandom(buffer, 7, 0); })},
        {"getentropy", quick({.arg = 7}, [] { (void)!getentropy(buffer, 7); })},
        {"vsyslog", quick({.text = "loopwatch's own test"}, [] { log_to(LOG_DEBUG, "loopwatch's own test"); })},
        {"mlock", quick({.arg = 4096}, [] { (void)!mlock(page, 4096); })},
        {"mlockall", quick({}, [] { (void)!mlockall(0); })},
        {"tcdrain", on_file(0, [](int fd) { (void)!tcdrain(fd); })},
        {"ioctl", on_file(FIONREAD,
                          [](int fd) {
                              int n = 0;
                              (void)!ioctl(fd, FIONREAD, &n);
                          })},
        {"shutdown", on_file(0, [](int fd) { (void)!shutdown(fd, SHUT_RDWR); })},
        {"syscall", quick({.arg = SYS_getpid}, [] { (void)!syscall(SYS_getpid); })},

        // More of children.
        {"popen", quick({.text = "exit 0"}, [] { pclose(popen("exit 0", "r")); })},
        {"pclose", provoke_pclose},
        {"posix_spawn", quick({.text = "/nonexistent"},
                              [] {
                                  pid_t child;
                                  char* argv[] = {nullptr};
                                  (void)!posix_spawn(&child, "/nonexistent", nullptr, nullptr, argv, argv);
                              })},
        {"posix_spawnp", quick({.text = "/nonexistent"},
                               [] {
                                   pid_t child;
                                   char* argv[] = {nullptr};
                                   (void)!posix_spawnp(&child, "/nonexistent", nullptr, nullptr, argv, argv);
                               })},

        // More of names: users, groups and hosts may be on another machine.
        {"getpwnam", quick({.text = "root"}, [] { getpwnam("root"); })},
        {"getpwnam_r", quick({.text = "root"},
                             [] {
                                 passwd entry, *found;
                                 (void)!getpwnam_r("root", &entry, buffer, sizeof buffer, &found);
                             })},
        {"getgrnam", quick({.text = "root"}, [] { getgrnam("root"); })},
        {"getgrnam_r", quick({.text = "root"},
                             [] {
                                 group entry, *found;
                                 (void)!getgrnam_r("root", &entry, buffer, sizeof buffer, &found);
                             })},
        {"getpwuid", quick({.arg = 7}, [] { getpwuid(7); })},
        {"getpwuid_r", quick({.arg = 7},
                             [] {
                                 passwd entry, *found;
                                 (void)!getpwuid_r(7, &entry, buffer, sizeof buffer, &found);
                             })},
        {"getgrgid", quick({.arg = 7}, [] { getgrgid(7); })},
        {"getgrgid_r", quick({.arg = 7},
                             [] {
                                 group entry, *found;
                                 (void)!getgrgid_r(7, &entry, buffer, sizeof buffer, &found);
                             })},
        {"getgrouplist", quick({.text = "root"},
                               [] {
                                   gid_t groups[8];
                                   int n = 8;
                                   getgrouplist("root", 0, groups, &n);
                               })},
        {"getservbyname", quick({.text = "http"}, [] { getservbyname("http", "tcp"); })},
        {"gethostbyname_r", quick({.text = "localhost"},
                                  [] {
                                      hostent entry, *found;
                                      int error;
                                      (void)!gethostbyname_r("localhost", &entry, buffer, sizeof buffer, &found,
                                                             &error);
                                  })},
        {"gethostbyname2_r", quick({.text = "localhost"},
                                   [] {
                                       hostent entry, *found;
                                       int error;
                                       (void)!gethostbyname2_r("localhost", AF_INET, &entry, buffer, sizeof buffer,
                                                               &found, &error);
                                   })},
        {"res_query",
         quick({.text = "localhost"}, [] { (void)!res_query("localhost", -1, -1, answer, sizeof answer); })},
        {"res_search",
         quick({.text = "localhost"}, [] { (void)!res_search("localhost", -1, -1, answer, sizeof answer); })},
        {"res_nquery", quick({.text = "localhost"},
                             [] {
                                 struct __res_state state = {};
                                 res_ninit(&state);
                                 (void)!res_nquery(&state, "localhost", -1, -1, answer, sizeof answer);
                                 res_nclose(&state);
                             })},
        {"res_nsearch", quick({.text = "localhost"},
                              [] {
                                  struct __res_state state = {};
                                  res_ninit(&state);
                                  (void)!res_nsearch(&state, "localhost", -1, -1, answer, sizeof answer);
                                  res_nclose(&state);
                              })},
    };
    return all;
}
