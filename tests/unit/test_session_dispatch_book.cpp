// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "collect/dispatch_book.hpp"

using namespace loopwatch;

namespace {

constexpr std::size_t stack_bytes = LW_STACK_BYTES;

// A block of 12 ms, ended by a thread with a deep stack.
void add_block(DispatchBook& book, std::uint32_t pid, std::uint32_t tid, std::uint64_t number)
{
    lw_event event = {};
    event.pid = pid;
    event.tid = tid;
    event.seq = 1;
    event.time_ns = 12'000'000 * (number + 1);
    WakerEvent waker = {};
    waker.head.event = event;
    waker.head.waker_tid = 99;
    waker.stack.resize(stack_bytes);
    book.add(std::move(waker));
    SourceEvent block = {};
    block.head.event = event;
    block.head.waker.tid = 99;
    block.head.single = 1;
    block.stack.resize(number == 0 ? stack_bytes : 0);
    book.add(std::move(block));
}

std::size_t stacks_of(const DispatchBundle& bundle)
{
    std::size_t stacks = 0;
    for (const auto& place : bundle.places) stacks += !place.stack.empty();
    for (const auto& block : bundle.long_blocks) stacks += block.waker_stack && !block.waker_stack->stack.empty();
    return stacks;
}

std::size_t memory_of(const DispatchBundle& bundle)
{
    std::size_t bytes = 0;
    for (const auto& place : bundle.places) bytes += place.stack.capacity();
    for (const auto& block : bundle.long_blocks) bytes += block.waker_stack ? block.waker_stack->stack.capacity() : 0;
    return bytes;
}

}  // namespace

TEST_CASE("dispatches that never end hold a bounded number of bytes, and leave some to other processes")
{
    DispatchBook book;
    std::size_t stacks = 0;
    for (std::uint32_t tid = 1; tid <= 48; ++tid)
        for (std::uint64_t block = 0; block < 100; ++block) add_block(book, 1, tid, block);
    for (std::uint32_t tid = 1; tid <= 48; ++tid) stacks += stacks_of(book.so_far(tid, 1));
    CHECK(stacks * stack_bytes == DispatchBook::max_stack_bytes);
    CHECK(book.so_far(48, 1).long_blocks.size() == 100);
    CHECK(book.overflow() == 48 * 101 - stacks);

    for (std::uint64_t block = 0; block < 100; ++block) add_block(book, 2, 200, block);
    CHECK(stacks_of(book.so_far(200, 1)) * stack_bytes == DispatchBook::assured_stack_bytes);

    // What has ended makes room.
    (void)book.abandon_process(1);
    for (std::uint64_t block = 0; block < 10; ++block) add_block(book, 3, 300, block);
    CHECK(stacks_of(book.so_far(300, 1)) == 11);
    CHECK(book.abandon_process(2).size() == 1);
    CHECK(book.abandon_process(3).size() == 1);
    CHECK(book.abandon_process(3).empty());
}

TEST_CASE("a stack that is left out takes no memory")
{
    DispatchBook book;
    for (std::uint32_t tid = 1; tid <= 48; ++tid)
        for (std::uint64_t block = 0; block < 100; ++block) add_block(book, 1, tid, block);
    std::size_t bytes = 0;
    for (const auto& bundle : book.abandon_process(1)) bytes += memory_of(bundle);
    CHECK(bytes == DispatchBook::max_stack_bytes);
}
