// SPDX-License-Identifier: Apache-2.0
//
// Frames of the journal: so many whole lines as one zstd frame, with its size and a checksum. FrameEncoder makes them,
// FrameScanner finds them in a file of which any byte may be wrong, or missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "util/fd.hpp"
#include "util/result.hpp"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace loopwatch {

// Text in a frame, at most: what a reader keeps in memory.
inline constexpr std::size_t max_frame_bytes = 256 * 1024;

// What a frame of that much text takes, at most.
std::size_t frame_bound(std::size_t text_bytes);

class FrameEncoder {
public:
    FrameEncoder();
    // The frame, valid until the next call.
    Result<std::string_view> encode(std::string_view text);

private:
    std::shared_ptr<ZSTD_CCtx_s> context_;
    std::string frame_;
};

class FrameScanner {
public:
    struct Step {
        bool found = false;         // false: there is no further frame, yet
        std::uint64_t skipped = 0;  // bytes before the frame, or until the end, that are no valid frame
        std::uint64_t offset = 0, end = 0;
        std::string_view text;  // whole lines; valid until the next call
    };

    explicit FrameScanner(Fd file);
    const Fd& file() const noexcept { return file_; }

    // The first valid frame at `offset` or behind it. Fails if the file cannot be read.
    Result<Step> next(std::uint64_t offset);

private:
    enum class Verdict { whole, cut, invalid, nothing };
    Verdict examine(std::string_view bytes, Step& step);
    Result<Verdict> examine_at(std::uint64_t offset, Step& step);
    Result<void> fill(std::uint64_t offset);
    Result<bool> find_magic(std::uint64_t& offset);
    std::string_view window_from(std::uint64_t offset) const;

    Fd file_;
    std::shared_ptr<ZSTD_DCtx_s> context_;
    std::string window_, text_;
    std::uint64_t window_at_ = 0;
    std::size_t window_bytes_ = 0;
};

}  // namespace loopwatch
