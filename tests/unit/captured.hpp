// SPDX-License-Identifier: Apache-2.0
//
// A child that sleeps in a known place, and what the kernel side would send of it: its mappings with open files, its registers and a
// copy of its stack. Everything is read from the real process.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "stack/symbol_worker.hpp"

namespace captured {

// Started and asleep when the constructor returns; killed by the destructor.
class Sleeper {
public:
    explicit Sleeper(const std::string& program)
    {
        int pipe_fds[2];
        if (::pipe(pipe_fds) != 0) throw std::runtime_error("pipe");
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(pipe_fds[1], 1);
            ::execl(program.c_str(), program.c_str(), nullptr);
            ::_exit(127);
        }
        ::close(pipe_fds[1]);
        char byte = 0;
        const bool ready = ::read(pipe_fds[0], &byte, 1) == 1;
        ::close(pipe_fds[0]);
        if (!ready) throw std::runtime_error("cannot start " + program);
        // The byte is written just before the sleep: wait until the thread really sleeps in it.
        for (std::string line; line.find("230 ") != 0 && line.find("35 ") != 0;) {
            std::ifstream file("/proc/" + std::to_string(pid_) + "/syscall");
            std::getline(file, line);
        }
    }
    ~Sleeper()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    Sleeper(const Sleeper&) = delete;

    pid_t pid() const { return pid_; }

    std::vector<loopwatch::ModuleMapping> modules() const
    {
        std::vector<loopwatch::ModuleMapping> modules;
        std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
        for (std::string line; std::getline(maps, line);) {
            std::istringstream fields(line);
            std::string range, flags, offset, device, inode, path;
            fields >> range >> flags >> offset >> device >> inode >> path;
            if (flags.size() < 3 || flags[2] != 'x' || path.empty() || path[0] != '/') continue;
            loopwatch::ModuleMapping module;
            module.start = std::stoull(range, nullptr, 16);
            module.end = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
            module.file_offset = std::stoull(offset, nullptr, 16);
            module.path = path;
            // maps pads low addresses with zeros, map_files does not.
            std::ostringstream file;
            file << "/proc/" << pid_ << "/map_files/" << std::hex << module.start << "-" << module.end;
            module.file = loopwatch::Fd(::open(file.str().c_str(), O_RDONLY | O_CLOEXEC));
            if (!module.file) throw std::runtime_error("cannot open " + file.str());
            modules.push_back(std::move(module));
        }
        return modules;
    }

    loopwatch::CapturedStack stack(std::size_t bytes) const
    {
        if (::ptrace(PTRACE_SEIZE, pid_, nullptr, nullptr) != 0 || ::ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) != 0)
            throw std::runtime_error("ptrace");
        ::waitpid(pid_, nullptr, __WALL);
        user_regs_struct r = {};
        ::ptrace(PTRACE_GETREGS, pid_, nullptr, &r);
        loopwatch::CapturedStack stack;
        stack.pid = static_cast<std::uint32_t>(pid_);
        const std::uint64_t dwarf[17] = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
                                         r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip};
        std::copy(std::begin(dwarf), std::end(dwarf), stack.dwarf_registers);
        stack.base = r.rsp - 128;
        stack.bytes.resize(bytes);
        iovec local = {stack.bytes.data(), bytes};
        iovec remote = {reinterpret_cast<void*>(stack.base), bytes};
        const ssize_t got = ::process_vm_readv(pid_, &local, 1, &remote, 1, 0);
        stack.bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr);
        return stack;
    }

private:
    pid_t pid_ = -1;
};

}  // namespace captured
