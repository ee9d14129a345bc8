// SPDX-License-Identifier: Apache-2.0
//
// The list of a loop's tasks as a hostile or busy process shows it; this very process is read.
#include <loopwatch/loop_state.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "target/loops.hpp"
#include "target/memory.hpp"
#include "target/process.hpp"
#include "target/tasks.hpp"

using namespace loopwatch;

namespace {

// What another thread of the target would do by chance is done when a read is about to happen.
std::function<void(const iovec&)> before_read;

}  // namespace

extern "C" ssize_t process_vm_readv(pid_t pid, const iovec* local, unsigned long locals, const iovec* remote,
                                    unsigned long remotes, unsigned long flags)
{
    if (before_read) before_read(*remote);
    return ::syscall(SYS_process_vm_readv, pid, local, locals, remote, remotes, flags);
}

namespace {

// Linked as the runtime links them: the youngest first.
struct Published {
    lw_loop_slot slot = {};
    std::deque<lw_task> tasks;
    std::deque<lw_frame> frames;

    lw_task& add(const char* name)
    {
        auto& task = tasks.emplace_back();
        task.id = tasks.size();
        task.name = name;
        task.state = LW_TASK_SUSPENDED;
        task.next = slot.tasks;
        if (slot.tasks != nullptr) slot.tasks->prev = &task;
        slot.tasks = &task;
        return task;
    }
    TaskList read() const
    {
        const Memory memory(::getpid());
        return TaskReader(memory).list(reinterpret_cast<std::uint64_t>(&slot));
    }
};

}  // namespace

TEST_CASE("tasks are listed with their coroutines, the youngest first")
{
    Published loop;
    const lw_location place = {"save.cpp", "save()", 7, 1};
    auto& outer = loop.frames.emplace_back();
    outer.created_at = outer.suspended_at = &place;
    auto& inner = loop.frames.emplace_back();
    inner.awaiter = &outer;
    loop.add("first").leaf = &inner;
    auto& second = loop.add("second");
    second.awaited_task = 1;
    second.cancel_requests = 1;
    second.cancel_reason = "shutdown";
    const auto list = loop.read();
    REQUIRE(list.broken.empty());
    REQUIRE(list.tasks.size() == 2);
    CHECK(list.tasks[0].name == "second");
    CHECK(list.tasks[0].awaits == 1);
    CHECK(list.tasks[0].extras->cancel_reason == "shutdown");
    REQUIRE(list.tasks[1].frames.size() == 2);
    CHECK(list.tasks[1].frames[0].suspended_at == 0);
    CHECK(list.tasks[1].frames[1].suspended_at == reinterpret_cast<std::uint64_t>(&place));
}

TEST_CASE("a loop without tasks has none, and one that is not there neither")
{
    CHECK(Published().read().tasks.empty());
    const Memory memory(::getpid());
    CHECK(TaskReader(memory).list(8).tasks.empty());
}

TEST_CASE("a list that goes round is read once")
{
    Published loop;
    for (int i = 0; i < 5; ++i) loop.add("task");
    auto& oldest = loop.tasks.front();
    oldest.next = loop.slot.tasks;
    loop.slot.tasks->prev = &oldest;  // each link is confirmed by its other end
    const auto list = loop.read();
    CHECK(list.tasks.size() == 5);
    CHECK_FALSE(list.broken.empty());
}

TEST_CASE("wild pointers end the list, with what was read until then")
{
    Published loop;
    for (int i = 0; i < 5; ++i) loop.add("task");
    loop.tasks[2].next = reinterpret_cast<lw_task*>(0x1000);
    auto list = loop.read();
    CHECK(list.tasks.size() == 3);
    CHECK_FALSE(list.broken.empty());
    loop.tasks[2].next = &loop.tasks[1];
    loop.tasks[1].prev = &loop.tasks[4];  // not who led to it
    list = loop.read();
    CHECK(list.tasks.size() == 3);
    CHECK_FALSE(list.broken.empty());
}

TEST_CASE("names and chains may be anything")
{
    Published loop;
    auto& task = loop.add(reinterpret_cast<const char*>(0x10));
    auto& frame = loop.frames.emplace_back();
    frame.awaiter = &frame;
    task.leaf = &frame;
    const std::string endless(100'000, 'x');
    loop.add(endless.c_str());
    const auto list = loop.read();
    REQUIRE(list.tasks.size() == 2);
    CHECK(list.tasks[0].name.size() == 128);
    CHECK(list.tasks[1].name.empty());
    CHECK(list.tasks[1].frames.size() == TaskReader::max_frames);
}

TEST_CASE("a list is read until it takes too much room here")
{
    Published loop;
    for (int i = 0; i < 1000; ++i) loop.add("task");
    const Memory memory(::getpid());
    const auto list = TaskReader(memory).list(reinterpret_cast<std::uint64_t>(&loop.slot), 100'000);
    CHECK(list.tasks.size() > 100);
    CHECK(list.tasks.size() < 600);
    CHECK(list.bytes < 101'000);
    CHECK_FALSE(list.broken.empty());
}

TEST_CASE("a list whose memory goes away while it is read is not taken for a whole one")
{
    const long page = ::sysconf(_SC_PAGESIZE);
    void* const mapped = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapped != MAP_FAILED);
    auto& slot = *static_cast<lw_loop_slot*>(mapped);
    auto* const tasks = reinterpret_cast<lw_task*>(&slot + 1);
    tasks[0].id = 2;
    tasks[0].next = &tasks[1];
    tasks[1].id = 1;
    tasks[1].prev = &tasks[0];
    tasks[1].next = reinterpret_cast<lw_task*>(8);  // so that the reader goes back
    slot.tasks = tasks;
    int reads = 0;
    before_read = [&](const iovec&) {
        if (++reads == 4) ::munmap(mapped, page);
    };
    const Memory memory(::getpid());
    const auto list = TaskReader(memory).list(reinterpret_cast<std::uint64_t>(&slot));
    before_read = nullptr;
    CHECK(list.tasks.size() == 2);
    CHECK(list.broken == "the memory of its loop cannot be read");
    CHECK_FALSE(TaskReader(memory).list(8).broken.empty());
}

TEST_CASE("tasks that die and come back are not walked over and over")
{
    constexpr std::size_t many = 200;
    struct alignas(256) Apart {  // none lies over a page's end
        lw_task task = {};
    };
    std::vector<Apart> tasks(many);
    lw_loop_slot slot = {};
    slot.tasks = &tasks[0].task;
    for (std::size_t i = 0; i < many; ++i) {
        tasks[i].task.prev = i == 0 ? nullptr : &tasks[i - 1].task;
        tasks[i].task.next = i + 1 < many ? &tasks[i + 1].task : reinterpret_cast<lw_task*>(8);
    }
    std::size_t reads = 0;
    before_read = [&](const iovec& what) {
        ++reads;
        // Records are read alone to see whether they still stand, and in pages to walk over them.
        const bool dead = what.iov_len == sizeof(lw_task);
        for (std::size_t i = 0; i < many; ++i) tasks[i].task.id = i + 1 + (dead ? many : 0);
    };
    const Memory memory(::getpid());
    const auto list = TaskReader(memory).list(reinterpret_cast<std::uint64_t>(&slot));
    before_read = nullptr;
    CHECK(list.tasks.size() == many);
    CHECK_FALSE(list.broken.empty());
    CHECK(reads < 3 * many);  // 64 walks over all of them were 13,791
}

TEST_CASE("loops that go round are listed once each")
{
    lw_loop_slot slots[2] = {};
    for (auto& slot : slots) {
        slot.magic = LW_SLOT_MAGIC;
        slot.abi = LW_ABI;
        slot.size = sizeof slot;
    }
    slots[0].next = &slots[1];
    slots[1].next = &slots[0];
    const lw_registry registry = {LW_SLOT_MAGIC, LW_ABI, 0, slots};
    const auto process = Process::open(::getpid());
    REQUIRE(process);
    std::string other_version;
    CHECK(Loops(*process).list(reinterpret_cast<std::uint64_t>(&registry), other_version).size() == 2);
    CHECK(other_version.empty());
}

TEST_CASE("loops of another version are not read, and it says which")
{
    lw_loop_slot slot = {};
    slot.magic = LW_SLOT_MAGIC;
    slot.abi = LW_ABI;
    slot.size = sizeof slot;
    lw_registry registry = {LW_SLOT_MAGIC, LW_ABI, 0, &slot};
    const auto process = Process::open(::getpid());
    REQUIRE(process);
    const auto not_listed = [&] {
        std::string other_version;
        CHECK(Loops(*process).list(reinterpret_cast<std::uint64_t>(&registry), other_version).empty());
        return other_version;
    };
    registry.abi = LW_ABI + 1;
    CHECK(not_listed().find("a newer version") == 0);
    registry.abi = LW_ABI - 1;
    CHECK(not_listed().find("an older version") == 0);
    registry.abi = LW_ABI;
    slot.abi = LW_ABI + 1;
    CHECK(not_listed().find("a newer version") == 0);
    slot.abi = LW_ABI;
    slot.size = sizeof slot - 8;
    CHECK(not_listed().find("rebuild the program") != std::string::npos);
}
