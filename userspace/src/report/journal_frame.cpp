// SPDX-License-Identifier: Apache-2.0
#include "report/journal_frame.hpp"

#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <new>

namespace loopwatch {

namespace {

constexpr std::string_view frame_magic = "\x28\xB5\x2F\xFD";
constexpr std::size_t descriptor_at = 4;       // RFC 8878, 3.1.1.1
constexpr unsigned char checksum_flag = 0x04;  // 3.1.1.1.1.5
// zstd's own default.
constexpr int level = 3;
// For the frame's checksum, which ZSTD_compressBound need not count.
constexpr std::size_t window_room = 64;

bool can_begin_frame(std::string_view bytes)
{
    return bytes.substr(0, frame_magic.size()) == frame_magic.substr(0, bytes.size());
}

}  // namespace

std::size_t frame_bound(std::size_t text_bytes)
{
    return ZSTD_compressBound(text_bytes) + window_room;
}

FrameEncoder::FrameEncoder() : context_(ZSTD_createCCtx(), ZSTD_freeCCtx)
{
    if (!context_) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_contentSizeFlag, 1);
}

Result<std::string_view> FrameEncoder::encode(std::string_view text)
{
    frame_.resize(frame_bound(text.size()));
    const auto bytes = ZSTD_compress2(context_.get(), frame_.data(), frame_.size(), text.data(), text.size());
    if (ZSTD_isError(bytes))
        return Error{ExitCode::failed, std::string("cannot compress: ") + ZSTD_getErrorName(bytes), ""};
    return std::string_view(frame_).substr(0, bytes);
}

FrameScanner::FrameScanner(Fd file)
    : file_(std::move(file)),
      context_(ZSTD_createDCtx(), ZSTD_freeDCtx),
      window_(frame_bound(max_frame_bytes), '\0'),
      text_(max_frame_bytes, '\0')
{
    if (!context_) throw std::bad_alloc();
}

FrameScanner::Verdict FrameScanner::examine(std::string_view bytes, Step& step)
{
    if (!can_begin_frame(bytes)) return Verdict::invalid;
    if (bytes.size() > descriptor_at && (static_cast<unsigned char>(bytes[descriptor_at]) & checksum_flag) == 0)
        return Verdict::invalid;
    const auto text_bytes = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
    const bool known = text_bytes != ZSTD_CONTENTSIZE_ERROR && text_bytes != ZSTD_CONTENTSIZE_UNKNOWN;
    if (text_bytes == ZSTD_CONTENTSIZE_UNKNOWN || (known && text_bytes > max_frame_bytes)) return Verdict::invalid;
    const auto frame_bytes = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
    if (ZSTD_isError(frame_bytes)) {
        const bool cut = ZSTD_getErrorCode(frame_bytes) == ZSTD_error_srcSize_wrong && bytes.size() < window_.size();
        return cut ? Verdict::cut : Verdict::invalid;
    }
    const auto made = ZSTD_decompressDCtx(context_.get(), text_.data(), text_.size(), bytes.data(), frame_bytes);
    if (ZSTD_isError(made) || made == 0 || text_[0] != '{' || text_[made - 1] != '\n') return Verdict::invalid;
    step.found = true;
    step.end = step.offset + frame_bytes;
    step.text = std::string_view(text_).substr(0, made);
    return Verdict::whole;
}

std::string_view FrameScanner::window_from(std::uint64_t offset) const
{
    if (offset < window_at_ || offset >= window_at_ + window_bytes_) return {};
    return std::string_view(window_).substr(0, window_bytes_).substr(offset - window_at_);
}

// What was read stays true: a file only grows, but for a torn end, behind which nothing is appended any more.
Result<void> FrameScanner::fill(std::uint64_t offset)
{
    window_at_ = offset;
    window_bytes_ = 0;
    while (window_bytes_ < window_.size()) {
        const auto got = ::pread(file_.raw(), window_.data() + window_bytes_, window_.size() - window_bytes_,
                                 static_cast<off_t>(offset + window_bytes_));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(ExitCode::failed, "cannot read a segment of the journal");
        if (got == 0) break;
        window_bytes_ += static_cast<std::size_t>(got);
    }
    return {};
}

Result<FrameScanner::Verdict> FrameScanner::examine_at(std::uint64_t offset, Step& step)
{
    step.offset = offset;
    const auto held = window_from(offset);
    if (!held.empty()) {
        const auto verdict = examine(held, step);
        if (verdict != Verdict::cut) return verdict;
    }
    if (auto filled = fill(offset); !filled) return std::move(filled).error();
    return window_bytes_ == 0 ? Verdict::nothing : examine(window_from(offset), step);
}

// Moves `offset` on to where the next frame may begin; false: to the end.
Result<bool> FrameScanner::find_magic(std::uint64_t& offset)
{
    for (;;) {
        auto bytes = window_from(offset);
        if (bytes.size() < frame_magic.size()) {
            if (auto filled = fill(offset); !filled) return std::move(filled).error();
            bytes = window_from(offset);
        }
        const auto at = bytes.find(frame_magic);
        if (at != std::string_view::npos) {
            offset += at;
            return true;
        }
        if (bytes.size() < frame_magic.size()) {
            offset += bytes.size();
            return false;
        }
        offset += bytes.size() - (frame_magic.size() - 1);
    }
}

Result<FrameScanner::Step> FrameScanner::next(std::uint64_t offset)
{
    Step step;
    for (auto at = offset;;) {
        const auto verdict = examine_at(at, step);
        if (!verdict) return verdict.error();
        step.skipped = at - offset;
        if (*verdict == Verdict::whole || *verdict == Verdict::nothing) return step;
        ++at;
        const auto more = find_magic(at);
        if (!more) return more.error();
        step.skipped = at - offset;
        if (!*more) return step;
    }
}

}  // namespace loopwatch
