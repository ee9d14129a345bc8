// SPDX-License-Identifier: Apache-2.0
//
// TargetFiles: the files that targets map. Each has one number, by which the worker knows it, and one descriptor for
// all processes that map it. A file that has killed the worker twice is not shown to it again.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <tuple>
#include <utility>

#include "util/fd.hpp"

namespace loopwatch {

// Device and inode; and size and time of change, for what is cached of its contents.
using FileName = std::pair<std::uint64_t, std::uint64_t>;
using FileKey = std::tuple<FileName, std::int64_t, std::int64_t, std::int64_t>;

class TargetFiles {
public:
    struct File {
        std::uint32_t id = 0;
        unsigned users = 0;
        Fd descriptor;
    };
    using Files = std::map<FileKey, File>;
    using Iterator = Files::iterator;

    Iterator end() noexcept { return files_.end(); }
    Files::const_iterator end() const noexcept { return files_.end(); }
    // Until release(). `used`: how many files its process has already. end(): no regular file, or no room.
    Iterator use(int fd, std::size_t used);
    // The same; its descriptor is kept while it is in use.
    Iterator keep(Fd descriptor, std::size_t used);
    void release(Iterator file);

    void note_crash(std::uint32_t file_id);
    bool is_quarantined(const FileKey& key) const;

private:
    Files files_;
    std::deque<FileKey> resting_;  // of files_ those that no process maps, the latest last
    std::uint32_t next_id_ = 1;
    std::map<FileName, unsigned> crashes_;  // whatever its contents are by then
};

}  // namespace loopwatch
