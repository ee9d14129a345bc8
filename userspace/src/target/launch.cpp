// SPDX-License-Identifier: Apache-2.0
#include "target/launch.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <lw_ring.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "target/seccomp.hpp"
#include "util/descriptor_limit.hpp"

namespace loopwatch {

namespace {

constexpr const char* shim_name = "libloopwatch_preload.so";
constexpr int scripts_of_scripts = 4;  // as many as the kernel follows

std::string own_directory()
{
    char path[4096];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string exe(path, length > 0 ? static_cast<std::size_t>(length) : 0);
    return exe.substr(0, exe.rfind('/'));
}

bool is_executable(const std::string& path)
{
    struct stat info = {};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

// Who interprets an ELF program; empty: nobody.
std::string elf_interpreter(int file, const Elf64_Ehdr& head)
{
    for (unsigned i = 0; i < std::min<unsigned>(head.e_phnum, 256); ++i) {
        Elf64_Phdr part = {};
        const auto at = head.e_phoff + i * sizeof part;
        if (::pread(file, &part, sizeof part, static_cast<off_t>(at)) != sizeof part) break;
        if (part.p_type != PT_INTERP) continue;
        char path[256] = {};
        const auto bytes = std::min<std::size_t>(part.p_filesz, sizeof path - 1);
        if (::pread(file, path, bytes, static_cast<off_t>(part.p_offset)) > 0) return path;
    }
    return "";
}

std::string why_no_shim(const std::string& program, int scripts_left)
{
    Fd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info = {};
    if (!file || ::fstat(file.raw(), &info) != 0) return "";  // may be executed, not read
    char line[256] = {};
    if (::pread(file.raw(), line, sizeof line - 1, 0) > 2 && line[0] == '#' && line[1] == '!') {
        const char* const begin = line + 2 + std::strspn(line + 2, " \t");
        const std::string interpreter(begin, std::strcspn(begin, " \t\r\n"));
        return scripts_left > 0 ? why_no_shim(interpreter, scripts_left - 1) : "";
    }
    const bool changes_user = ((info.st_mode & S_ISUID) && info.st_uid != ::geteuid()) ||
                              ((info.st_mode & S_ISGID) && info.st_gid != ::getegid());
    if (changes_user) return "it is setuid or setgid, so ld.so ignores LD_PRELOAD";
    if (::geteuid() != 0 && ::fgetxattr(file.raw(), "security.capability", nullptr, 0) > 0)
        return "it has file capabilities, so ld.so ignores LD_PRELOAD";
    Elf64_Ehdr head = {};
    if (::pread(file.raw(), &head, sizeof head, 0) != sizeof head || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
        return "";  // a script without #!, or some binary format: who interprets it is anybody's guess
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_machine != EM_X86_64) return "it is not a 64-bit x86 program";
    const auto interpreter = elf_interpreter(file.raw(), head);
    if (interpreter.empty()) return "it is statically linked, so nothing is preloaded into it";
    if (interpreter.find("musl") != std::string::npos) return "it runs on musl, and the shim is built for glibc";
    return "";
}

// Out of the way of descriptors that the program opens, and of those that it has been given.
constexpr int least_held_descriptor = 400;

// In the child: what the shim is to wait for.
void name_hold(const Fd& held)
{
    struct stat info = {};
    int fd = ::fcntl(held.raw(), F_DUPFD, least_held_descriptor);
    if (fd < 0) fd = ::fcntl(held.raw(), F_DUPFD, 3);
    if (fd < 0 || ::fstat(fd, &info) != 0) return;
    ::setenv(LW_HOLD_VARIABLE, fmt::format("{}:{}:{}:", ::getpid(), fd, info.st_ino).c_str(), 1);
}

// Before what a list in the environment names already.
void put_first(const char* variable, const std::string& word)
{
    const char* const others = std::getenv(variable);
    ::setenv(variable, (others != nullptr && *others ? word + ":" + others : word).c_str(), 1);
}

[[noreturn]] void become(const std::string& program, const std::vector<std::string>& arguments, int failure)
{
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // What the collector ignores for itself would be inherited.
    for (const int number : {SIGPIPE, SIGXFSZ}) std::signal(number, SIG_DFL);
    restore_descriptor_limit();
    std::vector<char*> words;
    for (const auto& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    ::execv(program.c_str(), words.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t told = ::write(failure, &error, sizeof error);
    ::_exit(127);
}

}  // namespace

Result<std::string> find_shim()
{
    const char* const given = std::getenv("LOOPWATCH_PRELOAD");
    const auto beside = own_directory();
    std::vector<std::string> places;
    if (given != nullptr && *given != '\0')
        places = {given};
    else
        places = {beside + "/../lib/" + shim_name, beside + "/" + LOOPWATCH_LIBRARIES "/" + shim_name,
                  beside + "/" + shim_name};
    for (const auto& place : places) {
        char* const path = ::realpath(place.c_str(), nullptr);
        if (path == nullptr) continue;
        std::string found = path;
        std::free(path);
        // ld.so takes both for the end of a name.
        if (found.find_first_of(": ") == std::string::npos) return found;
        return Error{ExitCode::not_permitted, fmt::format("the shim's path has a blank or a colon in it: {}", found),
                     "LD_PRELOAD cannot name it; put it elsewhere and set LOOPWATCH_PRELOAD"};
    }
    return Error{ExitCode::not_permitted, fmt::format("no {} in {}", shim_name, places.front()),
                 "it is built with loopwatch; LOOPWATCH_PRELOAD may name it"};
}

Result<std::string> find_program(const std::string& name)
{
    if (name.find('/') != std::string::npos) {
        if (is_executable(name)) return name;
        return Error{ExitCode::no_such_target, fmt::format("{} cannot be executed", name),
                     ::access(name.c_str(), F_OK) == 0 ? "is it a program, and executable?" : "there is no such file"};
    }
    const char* const path = std::getenv("PATH");
    std::string rest = path != nullptr ? path : "/usr/bin:/bin";
    while (!rest.empty()) {
        const auto end = std::min(rest.find(':'), rest.size());
        const auto candidate = (end == 0 ? std::string(".") : rest.substr(0, end)) + "/" + name;
        if (is_executable(candidate)) return candidate;
        rest.erase(0, end + 1);
    }
    return Error{ExitCode::no_such_target, fmt::format("{}: no such program in PATH", name), ""};
}

std::string why_no_shim(const std::string& program)
{
    return why_no_shim(program, scripts_of_scripts);
}

Result<Launch> Launch::start(const std::string& program, const std::vector<std::string>& arguments,
                             const std::string& shim, const Environment& environment)
{
    return start(program, arguments, shim, environment, Fd(), Fd());
}

Result<Launch> Launch::start_held(const std::string& program, const std::vector<std::string>& arguments,
                                  const std::string& shim)
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return errno_error(ExitCode::failed, "socketpair");
    return start(
        program, arguments, shim, [](pid_t) { return Environment::result_type(); }, Fd(ends[0]), Fd(ends[1]));
}

Result<Launch> Launch::start(const std::string& program, const std::vector<std::string>& arguments,
                             const std::string& shim, const Environment& environment, Fd hold, Fd held)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(ExitCode::failed, "pipe");
    Fd failed(ends[0]), failure(ends[1]);
    const auto filters = std::to_string(harmless_seccomp_filters());
    Launch launch;
    launch.hold_ = std::move(hold);
    launch.pid_ = ::fork();
    if (launch.pid_ < 0) return errno_error(ExitCode::failed, "fork");
    if (launch.pid_ == 0) {
        put_first("LD_PRELOAD", shim);
        // gcc's AddressSanitizer ends a program in which another library comes before it, for fear of being called
        // late; the shim calls on to it.
        put_first("ASAN_OPTIONS", "verify_asan_link_order=0");
        ::setenv(LW_FILTERS_VARIABLE, filters.c_str(), 1);
        if (held) name_hold(held);
        for (const auto& [name, value] : environment(::getpid())) ::setenv(name.c_str(), value.c_str(), 1);
        become(program, arguments, failure.raw());
    }
    launch.pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, launch.pid_, 0)));
    failure.reset();
    held.reset();
    int error = 0;
    if (::read(failed.raw(), &error, sizeof error) == sizeof error) {
        ::waitpid(launch.pid_, nullptr, 0);
        return Error{ExitCode::no_such_target, fmt::format("cannot execute {}: {}", program, std::strerror(error)), ""};
    }
    if (!launch.pidfd_) return errno_error(ExitCode::failed, "pidfd_open");
    return launch;
}

void Launch::signal(int number) const
{
    ::syscall(SYS_pidfd_send_signal, pidfd_.raw(), number, nullptr, 0);
}

std::optional<int> Launch::status()
{
    int raw = 0;
    if (!status_ && ::waitpid(pid_, &raw, WNOHANG) == pid_) {
        raw_ = raw;
        status_ = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    }
    return status_;
}

}  // namespace loopwatch
