// SPDX-License-Identifier: Apache-2.0
#include "stack/target_files.hpp"

#include <sys/sysmacros.h>

#include <algorithm>

#include "util/file_status.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_files = 65'536;
constexpr std::size_t max_resting_files =
    256;                                    // files that no process maps, by whose number the worker still knows them
constexpr std::size_t assured_files = 512;  // of each process, whatever the others map
constexpr std::size_t max_crashed = 4096;   // files that are remembered to have killed the worker
constexpr unsigned crashes_to_quarantine = 2;

}  // namespace

TargetFiles::Iterator TargetFiles::use(int fd, std::size_t used)
{
    const auto status = known_status(fd);
    if (!status) return files_.end();
    const FileKey key{{::makedev(status->stx_dev_major, status->stx_dev_minor), status->stx_ino},
                      static_cast<std::int64_t>(status->stx_size),
                      status->stx_ctime.tv_sec,
                      status->stx_ctime.tv_nsec};
    auto file = files_.find(key);
    if (file == files_.end()) {
        if (files_.size() >= max_files && used >= assured_files) return file;
        file = files_.emplace(key, File{next_id_++, 0, {}}).first;
    }
    if (file->second.users++ == 0) std::erase(resting_, key);
    return file;
}

TargetFiles::Iterator TargetFiles::keep(Fd descriptor, std::size_t used)
{
    const auto file = use(descriptor.raw(), used);
    if (file != files_.end() && !file->second.descriptor) file->second.descriptor = std::move(descriptor);
    return file;
}

void TargetFiles::release(Iterator file)
{
    if (file == files_.end() || --file->second.users != 0) return;
    file->second.descriptor.reset();
    std::erase(resting_, file->first);
    resting_.push_back(file->first);
    if (resting_.size() <= max_resting_files) return;
    files_.erase(resting_.front());
    resting_.pop_front();
}

void TargetFiles::note_crash(std::uint32_t file_id)
{
    const auto culprit = std::ranges::find_if(files_, [&](const auto& file) { return file.second.id == file_id; });
    if (culprit == files_.end()) return;
    const auto& name = std::get<FileName>(culprit->first);
    if (crashes_.size() >= max_crashed && !crashes_.contains(name)) crashes_.erase(crashes_.begin());
    ++crashes_[name];
}

bool TargetFiles::is_quarantined(const FileKey& key) const
{
    const auto crashes = crashes_.find(std::get<FileName>(key));
    return crashes != crashes_.end() && crashes->second >= crashes_to_quarantine;
}

}  // namespace loopwatch
