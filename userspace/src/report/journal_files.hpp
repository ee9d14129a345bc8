// SPDX-License-Identifier: Apache-2.0
//
// Files of a state directory: DIR/journal/NNNNNNNNNN.lwj, DIR/cursors/NAME, DIR/instance, DIR/version, DIR/lock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct SegmentFile {
    std::uint64_t index = 0;
    std::uint64_t bytes = 0;
    std::int64_t written_ns = 0;  // since 1970: when it was last written
};

std::string segments_path(const std::string& state);
std::string cursors_path(const std::string& state);
std::string segment_path(const std::string& state, std::uint64_t index);

// By index. Fails if the directory cannot be read.
Result<std::vector<SegmentFile>> list_segments(const std::string& state);
// The lowest index that is at least `from`; none: there is none.
std::optional<std::uint64_t> segment_from(const std::string& state, std::uint64_t from);

// Up to 4 KiB of it, all that these files have. None: there is no such file.
Result<std::optional<std::string>> read_small_file(const std::string& path);
// After a crash of the machine the file has either its old or its new content.
Result<void> replace_file(const std::string& directory, const std::string& name, std::string_view content);
// Fails with what was written so far, which is added to `written`.
Result<void> write_all(int file, std::string_view bytes, std::uint64_t& written);
// Makes names in it durable.
Result<void> sync_directory(const std::string& path);

}  // namespace loopwatch
