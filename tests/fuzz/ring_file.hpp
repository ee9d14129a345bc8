// SPDX-License-Identifier: Apache-2.0
//
// The shim's ring as a file that a test writes. It begins as an honest shim makes it.
#pragma once

#include <fcntl.h>
#include <lw_ring.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "collect/shim_ring.hpp"
#include "invariant.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

inline std::uint64_t lane_at(std::size_t lane, std::size_t field)
{
    return offsetof(lw_ring, lanes) + lane * sizeof(lw_lane) + field;
}

inline std::uint64_t body_at(std::size_t lane, std::size_t field)
{
    return offsetof(lw_ring, bodies) + lane * sizeof(lw_lane_body) + field;
}

// The ring as its process writes it.
class RingFile {
public:
    RingFile()
        : path_(std::filesystem::temp_directory_path() / ("loopwatch-ring-" + std::to_string(::getpid()))),
          file_(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600))
    {
        hold(file_ && ::ftruncate(file_.raw(), sizeof(lw_ring)) == 0, "a file can be made");
        put(offsetof(lw_ring, magic), std::uint64_t{LW_RING_MAGIC});
        put(offsetof(lw_ring, abi), std::uint32_t{LW_RING_ABI});
        put(offsetof(lw_ring, bytes), static_cast<std::uint32_t>(sizeof(lw_ring)));
        put(offsetof(lw_ring, pid), std::uint32_t{1});
    }
    ~RingFile() { ::unlink(path_.c_str()); }
    RingFile(const RingFile&) = delete;
    RingFile& operator=(const RingFile&) = delete;
    // The file's name does not outlive the attempt to open it: a fuzzer that aborts leaves nothing behind.
    loopwatch::Result<loopwatch::ShimRing> opened() const
    {
        auto ring = loopwatch::ShimRing::open(path_);
        ::unlink(path_.c_str());
        return ring;
    }
    void write(std::uint64_t at, std::span<const std::uint8_t> bytes)
    {
        const auto written = ::pwrite(file_.raw(), bytes.data(), bytes.size(), static_cast<off_t>(at));
        hold(written == static_cast<ssize_t>(bytes.size()), "it can be written");
    }
    template <class T>
    void put(std::uint64_t at, const T& value)
    {
        write(at, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
    }
    // As an honest shim does, where there is room up to the lane's end.
    template <class Raw>
    void append(std::size_t lane, const Raw& record)
    {
        const auto head_at = lane_at(lane, offsetof(lw_lane, head));
        const auto head = word(head_at);
        const auto at = body_at(lane, offsetof(lw_lane_body, records)) + head % LW_LANE_BYTES;
        put(at, record);
        const auto end = head + (sizeof record + LW_RECORD_ALIGN - 1) / LW_RECORD_ALIGN * LW_RECORD_ALIGN;
        put(head_at, end);
        put(lane_at(lane, offsetof(lw_lane, draft)), end);
    }
    std::uint64_t word(std::uint64_t at) const
    {
        std::uint64_t value = 0;
        (void)!::pread(file_.raw(), &value, sizeof value, static_cast<off_t>(at));
        return value;
    }
    void cut(std::uint64_t bytes) { hold(::ftruncate(file_.raw(), static_cast<off_t>(bytes)) == 0, "it can be cut"); }

private:
    std::string path_;
    loopwatch::Fd file_;
};
