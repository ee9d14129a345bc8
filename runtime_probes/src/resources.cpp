// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/detail/resources.hpp>

#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/rt/loop.hpp>

namespace loopwatch::detail {

namespace {

struct Opened {
    OpenResource what;
    const lw_location* at;
    std::unique_ptr<const lw_backtrace> stack;
};

struct Book {
    std::mutex mutex;
    std::unordered_map<const void*, Opened> open;  // by handle
};

// Never destroyed: sockets of static storage are closed late.
Book& book()
{
    static Book& book = *new Book;
    return book;
}

template <class Gone>
void close_if(Gone gone) noexcept
{
    const std::lock_guard lock(book().mutex);
    std::erase_if(book().open, [&](const auto& entry) { return gone(entry.second.what); });
    open_resources = book().open.size();
}

const char* kind_of(int fd) noexcept
{
    struct stat status = {};
    if (::fstat(fd, &status) != 0) return "descriptor";
    if (S_ISSOCK(status.st_mode)) return "socket";
    if (S_ISFIFO(status.st_mode)) return "pipe";
    if (S_ISREG(status.st_mode)) return "file";
    if (S_ISCHR(status.st_mode)) return "device";
    return "descriptor";
}

// Where the running task stands: Asio knows no lines.
const lw_location* here() noexcept
{
    TaskControl* const task = running_task();
    if (task == nullptr || task->record().leaf == nullptr) return nullptr;
    const lw_frame& leaf = *task->record().leaf;
    return leaf.suspended_at != nullptr ? leaf.suspended_at : leaf.created_at;
}

}  // namespace

const void* context_of(Loop& loop) noexcept
{
    return &loop.context();
}

void resource_opened(const OpenResource& resource) noexcept
{
    if (!is_of_a_loop(resource.context)) return;
    try {
        Opened opened{resource, here(), capture_backtrace()};
        const std::lock_guard lock(book().mutex);
        book().open.insert_or_assign(resource.handle, std::move(opened));
        open_resources = book().open.size();
    } catch (...) {
    }
}

void handle_closed(const void* handle) noexcept
{
    const std::lock_guard lock(book().mutex);
    book().open.erase(handle);
    open_resources = book().open.size();
}

void object_closed(const void* object) noexcept
{
    close_if([&](const OpenResource& one) { return one.object == object; });
}

void tell_leaks(const lw_loop_slot& slot, const void* context) noexcept
{
    if (open_resources.load(std::memory_order_relaxed) == 0) return;
    // Told without the lock: a handler may close things too.
    std::vector<Opened> left;
    try {
        const std::lock_guard lock(book().mutex);
        for (auto& [handle, opened] : book().open)
            if (opened.what.context == context) left.push_back(std::move(opened));
    } catch (...) {
    }
    close_if([&](const OpenResource& one) { return one.context == context; });
    if (!debugged()) return;
    for (const auto& [what, at, stack] : left)
        tell_leak(slot, what.kind != nullptr ? what.kind : kind_of(what.fd), at, what.fd, stack.get());
}

}  // namespace loopwatch::detail
