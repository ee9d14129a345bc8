// SPDX-License-Identifier: Apache-2.0
#include "target/process.hpp"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "target/modules.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t kernel_thread_flag = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

std::string proc_path(pid_t pid, const std::string& name)
{
    return fmt::format("/proc/{}/{}", pid, name);
}

std::string link_target(const std::string& path)
{
    char target[4096];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    return length > 0 ? std::string(target, static_cast<std::size_t>(length)) : std::string();
}

struct Stat {
    char state = '?';
    std::uint64_t flags = 0;
    std::uint64_t start_time = 0;
    std::uint64_t start_stack = 0;
};

// comm may hold spaces and parentheses, so fields are counted from the last ')'.
std::optional<Stat> read_stat(pid_t pid)
{
    const auto text = read_proc(pid, "stat", 4096);
    if (!text) return std::nullopt;
    const auto close = text->rfind(')');
    if (close == std::string::npos) return std::nullopt;
    std::vector<std::string_view> fields;
    std::string_view rest = std::string_view(*text).substr(close + 1);
    while (!rest.empty()) {
        const auto begin = rest.find_first_not_of(' ');
        if (begin == std::string_view::npos) break;
        const auto end = std::min(rest.find(' ', begin), rest.size());
        fields.push_back(rest.substr(begin, end - begin));
        rest.remove_prefix(end);
    }
    if (fields.size() < 26) return std::nullopt;
    const auto number = [](std::string_view field) {
        std::uint64_t value = 0;
        std::from_chars(field.data(), field.data() + field.size(), value);
        return value;
    };
    return Stat{fields[0].empty() ? '?' : fields[0][0], number(fields[6]), number(fields[19]), number(fields[25])};
}

Error gone(pid_t pid)
{
    return {ExitCode::no_such_target, fmt::format("no process with pid {}", pid), "list processes with: ps -ef"};
}

// The real one; /proc/PID is root's if the process may not be dumped. None: it is gone.
std::optional<uid_t> uid_of(pid_t pid)
{
    const auto status = read_proc(pid, "status", 4096).value_or("");
    const auto line = status.find("\nUid:\t");
    uid_t uid = 0;
    const auto* const from = status.data() + (line == status.npos ? status.size() : line + 6);
    if (std::from_chars(from, status.data() + status.size(), uid).ec != std::errc()) return std::nullopt;
    return uid;
}

Error not_permitted(pid_t pid)
{
    if (::geteuid() == 0)
        return {ExitCode::not_permitted, fmt::format("the kernel refuses access to process {}", pid),
                "it has capabilities or a user namespace beyond loopwatch's own"};
    if (uid_of(pid) != ::getuid())
        return {ExitCode::not_permitted, fmt::format("process {} belongs to another user", pid),
                "run loopwatch with sudo"};
    return {
        ExitCode::not_permitted,
        fmt::format("the kernel does not let us look into process {}, though it is ours: the file of its program is "
                    "not readable, or it has made itself undumpable",
                    pid),
        "make the file readable, or run loopwatch with sudo"};
}

// As the kernel knows the executable: to ask the server that has it may take for ever.
std::optional<std::array<std::uint64_t, 3>> image_of(pid_t pid)
{
    struct statx info = {};
    const auto stat = read_stat(pid);
    if (!stat || ::statx(AT_FDCWD, proc_path(pid, "exe").c_str(), AT_STATX_DONT_SYNC, STATX_INO, &info) != 0)
        return std::nullopt;
    return std::array<std::uint64_t, 3>{::makedev(info.stx_dev_major, info.stx_dev_minor), info.stx_ino,
                                        stat->start_stack};
}

Result<void> check_executable(pid_t pid)
{
    // Its owner may hold a lease on it, for which an open waits for 45 s (lease-break-time); with O_NONBLOCK it fails.
    Fd exe(::open(proc_path(pid, "exe").c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!exe) {
        if (errno == EACCES || errno == EPERM) return not_permitted(pid);
        return gone(pid);
    }
    unsigned char ident[20] = {};
    if (::pread(exe.raw(), ident, sizeof ident, 0) != sizeof ident)
        return Error{ExitCode::failed, "cannot read the executable", ""};
    if (ident[EI_CLASS] != ELFCLASS64 || ident[18] != EM_X86_64)
        return Error{ExitCode::not_permitted, fmt::format("process {} is not a 64-bit x86 program", pid),
                     "loopwatch supports x86-64 targets only"};
    return {};
}

}  // namespace

std::optional<std::string> read_proc(pid_t pid, const std::string& name, std::size_t limit)
{
    Fd file(::open(proc_path(pid, name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return std::nullopt;
    std::string text;
    char buffer[16384];
    while (text.size() < limit) {
        const ssize_t got = ::read(file.raw(), buffer, std::min(sizeof buffer, limit - text.size()));
        if (got < 0) return std::nullopt;
        if (got == 0) break;
        text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
}

Result<Process> Process::identify(pid_t pid)
{
    Process process;
    process.pid_ = pid;
    process.pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process.pidfd_) {
        if (errno == EMFILE || errno == ENFILE)
            return errno_error(ExitCode::failed, fmt::format("process {}", pid),
                               "raise ulimit -n: each file that a target maps takes one");
        if (read_proc(pid, "stat", 16))
            return Error{ExitCode::no_such_target, fmt::format("{} is a thread, not a process", pid),
                         "pass the pid of its process"};
        return gone(pid);
    }
    const auto stat = read_stat(pid);
    if (!stat) return gone(pid);
    if (stat->flags & kernel_thread_flag)
        return Error{ExitCode::no_such_target, fmt::format("{} is a kernel thread", pid),
                     "pass the pid of a user program"};
    process.start_time_ = stat->start_time;
    return process;
}

Result<Process> Process::open(pid_t pid)
{
    auto process = identify(pid);
    if (!process) return process;
    const auto stat = read_stat(pid);
    if (!stat) return gone(pid);
    if (stat->state == 'Z' || stat->state == 'X')
        return Error{ExitCode::no_such_target, fmt::format("process {} has ended already (it is a zombie)", pid), ""};
    if (auto executable = check_executable(pid); !executable) return executable.error();
    process->image_ = image_of(pid).value_or(process->image_);
    if (!read_proc(pid, "maps", 16)) return process->alive() ? not_permitted(pid) : gone(pid);
    if (!process->alive()) return gone(pid);
    return process;
}

std::vector<pid_t> Process::all()
{
    std::vector<pid_t> found;
    const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
    while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
        pid_t pid = 0;
        const std::string_view text = entry->d_name;
        if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc() || pid == ::getpid())
            continue;
        found.push_back(pid);
    }
    return found;
}

std::vector<pid_t> Process::find(const std::string& name)
{
    auto found = all();
    std::erase_if(found, [&](pid_t pid) { return !is_named(pid, name); });
    return found;
}

bool Process::is_named(pid_t pid, const std::string& name)
{
    auto comm = read_proc(pid, "comm", 64).value_or("");
    if (!comm.empty() && comm.back() == '\n') comm.pop_back();
    const auto exe = link_target(proc_path(pid, "exe"));
    return comm == name || exe.substr(exe.rfind('/') + 1) == name;
}

bool Process::alive() const
{
    pollfd ended{pidfd_.raw(), POLLIN, 0};
    if (::poll(&ended, 1, 0) != 0) return false;
    const auto stat = read_stat(pid_);
    return stat && (start_time_ == 0 || stat->start_time == start_time_);
}

bool Process::replaced() const
{
    const auto now = image_of(pid_);
    return now && *now != image_;
}

bool Process::stopped() const
{
    const auto stat = read_stat(pid_);
    return stat && (stat->state == 'T' || stat->state == 't');
}

std::string Process::comm() const
{
    return comm(pid_);
}

std::string Process::comm(pid_t tid) const
{
    auto text = read_proc(pid_, fmt::format("task/{}/comm", tid), 64).value_or("");
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

std::string Process::exe() const
{
    return link_target(proc_path(pid_, "exe"));
}

std::vector<std::string> Process::cmdline() const
{
    std::vector<std::string> arguments;
    const auto text = read_proc(pid_, "cmdline", 16384).value_or("");
    for (std::size_t begin = 0; begin < text.size() && arguments.size() < 64;) {
        const auto end = std::min(text.find('\0', begin), text.size());
        arguments.push_back(text.substr(begin, std::min<std::size_t>(end - begin, 256)));
        begin = end + 1;
    }
    return arguments;
}

bool Process::has_thread(pid_t tid) const
{
    return ::access(proc_path(pid_, fmt::format("task/{}", tid)).c_str(), F_OK) == 0;
}

std::uint64_t Process::voluntary_switches(pid_t tid) const
{
    static constexpr std::string_view field = "\nvoluntary_ctxt_switches:";
    const auto status = read_proc(pid_, fmt::format("task/{}/status", tid), 8192).value_or("");
    const auto at = status.find(field);
    return at == status.npos ? 0 : std::strtoull(status.c_str() + at + field.size(), nullptr, 10);
}

ThreadRuns Process::runs(pid_t tid) const
{
    ThreadRuns runs;
    const auto text = read_proc(pid_, fmt::format("task/{}/schedstat", tid), 256).value_or("");
    char* rest = nullptr;
    runs.ran_ns = std::strtoull(text.c_str(), &rest, 10);
    (void)std::strtoull(rest, &rest, 10);  // how long it has waited for a CPU
    runs.count = std::strtoull(rest, nullptr, 10);
    return runs;
}

std::vector<pid_t> Process::threads() const
{
    std::vector<pid_t> threads;
    const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir(proc_path(pid_, "task").c_str()), ::closedir);
    while (const dirent* entry = tasks ? ::readdir(tasks.get()) : nullptr) {
        pid_t tid = 0;
        const std::string_view text = entry->d_name;
        if (std::from_chars(text.data(), text.data() + text.size(), tid).ec == std::errc()) threads.push_back(tid);
    }
    return threads;
}

std::uint32_t Process::ns_id(pid_t tid) const
{
    const auto status = read_proc(pid_, fmt::format("task/{}/status", tid), 8192).value_or("");
    const auto line = status.find("\nNSpid:");
    if (line == std::string::npos) return static_cast<std::uint32_t>(tid);
    const auto end = std::min(status.find('\n', line + 1), status.size());
    const auto last = status.find_last_of(" \t", end - 1);
    std::uint32_t id = 0;
    std::from_chars(status.data() + last + 1, status.data() + end, id);
    return id ? id : static_cast<std::uint32_t>(tid);
}

NamespaceThreads::NamespaceThreads(const Process& process)
    : process_(process), ours_(process.ns_id(process.pid()) == static_cast<std::uint32_t>(process.pid()))
{
}

std::uint32_t NamespaceThreads::tid(std::uint32_t ns_tid)
{
    if (ours_) return process_.has_thread(static_cast<pid_t>(ns_tid)) ? ns_tid : 0;
    if (!tids_) {
        tids_.emplace();
        for (const pid_t tid : process_.threads()) (*tids_)[process_.ns_id(tid)] = static_cast<std::uint32_t>(tid);
    }
    const auto found = tids_->find(ns_tid);
    return found == tids_->end() ? 0 : found->second;
}

Result<std::vector<ModuleMapping>> Process::modules(std::size_t* unreadable) const
{
    auto mapped = read_modules(pid_);
    if (!mapped) return alive() ? mapped.error() : gone(pid_);
    if (unreadable) *unreadable = mapped->unreadable;
    return std::move(mapped->modules);
}

}  // namespace loopwatch
