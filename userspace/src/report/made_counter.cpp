// SPDX-License-Identifier: Apache-2.0
#include "report/made_counter.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <utility>

#include "util/fd.hpp"

namespace loopwatch {

Result<MadeCounter> MadeCounter::open(const std::string& directory, const std::string& instance)
{
    auto path = directory + "/loopwatch-" + instance;
    const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!file) return errno_error(ExitCode::failed, "cannot make " + path);
    // The directory is everyone's: another user's file could be cut, which would be a SIGBUS.
    struct stat status = {};
    if (::fstat(file.raw(), &status) != 0) return errno_error(ExitCode::failed, "cannot make " + path);
    if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 0077) != 0 ||
        status.st_nlink != 1)
        return Error{ExitCode::failed, path + " is another user's file", "remove it"};
    if (const int error = ::posix_fallocate(file.raw(), 0, sizeof(Page)); error != 0) {
        errno = error;
        return errno_error(ExitCode::failed, "cannot make " + path);
    }
    void* const mapped = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, file.raw(), 0);
    if (mapped == MAP_FAILED) return errno_error(ExitCode::failed, "cannot map " + path);
    const std::shared_ptr<Page> page(static_cast<Page*>(mapped), [](Page* one) { ::munmap(one, sizeof(Page)); });
    MadeCounter counter(std::move(path), page);
    if (page->magic == magic) counter.found_ = page->next_seq;
    return counter;
}

void MadeCounter::store(std::uint64_t next_seq) noexcept
{
    // Its number first: without the magic it does not count.
    std::atomic_ref(page_->next_seq).store(next_seq, std::memory_order_relaxed);
    std::atomic_ref(page_->magic).store(magic, std::memory_order_release);
}

void MadeCounter::remove() noexcept
{
    ::unlink(path_.c_str());
}

}  // namespace loopwatch
