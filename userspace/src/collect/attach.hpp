// SPDX-License-Identifier: Apache-2.0
//
// Attaching to probe sites. The ladder, best rung first (measured on 6.18, 20 sites):
//   multi     one uprobe_multi link a program, bound to the process: 8 ms to attach, 24 ms to detach, no tax. Kernel
//   ≥ 6.10 (its
//             pid filter covers all threads from there on), made by the raw system call, as libbpf 1.1 knows none.
//   perf_all  a perf event a site for every process, filtered in BPF: any process that maps the file pays the trap.
//   perf_pid  a perf event a site, bound to the process: about 0.2 us a site on each of its context switches, and
//   detaching takes
//             about 100 ms a site.
//   none      no probes: the slot and the scheduler's view still tell what a loop is doing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "util/result.hpp"

struct bpf_program;

namespace loopwatch {

enum class AttachRung { multi, perf_all, perf_pid, none };

const char* rung_name(AttachRung rung);
// The best rung this kernel offers.
AttachRung best_rung();

struct AttachPoint {
    std::uint64_t offset;            // in the file
    std::uint64_t semaphore_offset;  // in the file; 0: none
    std::uint64_t cookie;
};

// Destroying it detaches.
class Link {
public:
    explicit Link(std::function<void()> detach) : detach_(std::move(detach)) {}
    Link(Link&& other) noexcept : detach_(std::move(other.detach_)) { other.detach_ = nullptr; }
    Link& operator=(Link&& other) noexcept
    {
        std::swap(detach_, other.detach_);
        return *this;
    }
    ~Link()
    {
        if (detach_) detach_();
    }

private:
    std::function<void()> detach_;
};

// To be called between open and load of the object: a program is bound to its rung when it is verified.
void prepare(bpf_program* program, AttachRung rung);

// `file` stays open as long as the caller wishes; the kernel holds the inode. Fails with the errno of the system call.
Result<std::vector<Link>> attach(const bpf_program* program, AttachRung rung, pid_t pid, int file,
                                 const std::vector<AttachPoint>& points);

// Detaches all of them side by side, and returns when that is done.
void detach(std::vector<Link> links);

}  // namespace loopwatch
