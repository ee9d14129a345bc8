// SPDX-License-Identifier: Apache-2.0
//
// MadeCounter: how many records were ever numbered, in shared memory that outlives its process. After a SIGKILL it says
// how many records were still on their way to the journal: these are lost, and counted. A page of tmpfs: a page of the
// state directory's file system may make its writer wait for the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "util/result.hpp"

namespace loopwatch {

class MadeCounter {
public:
    // `directory`: a tmpfs. Fails if it cannot be had there: what a SIGKILL takes is not counted then.
    static Result<MadeCounter> open(const std::string& directory, const std::string& instance);

    // The next number, as the last process left it; none: it left none, or the machine was restarted.
    std::optional<std::uint64_t> found() const noexcept { return found_; }
    void store(std::uint64_t next_seq) noexcept;
    // The journal knows as much.
    void remove() noexcept;

private:
    struct Page {
        std::uint64_t magic;
        std::uint64_t next_seq;  // written by the thread that numbers records, read by the next process
    };
    MadeCounter(std::string path, std::shared_ptr<Page> page) : path_(std::move(path)), page_(std::move(page)) {}

    static constexpr std::uint64_t magic = 0x6c776a6d61646531;  // "lwjmade1"
    std::string path_;
    std::shared_ptr<Page> page_;
    std::optional<std::uint64_t> found_;
};

}  // namespace loopwatch
