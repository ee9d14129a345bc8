// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>

#include "collect/dispatch_book.hpp"

using namespace loopwatch;

namespace {

constexpr std::size_t stack_bytes = RawStack::max_bytes;
constexpr std::size_t max_bytes =
    DispatchBook::max_stack_bytes + DispatchBook::max_head_bytes + DispatchBook::max_last_bytes;

EventHead event_of(std::uint32_t pid, std::uint32_t tid, std::uint64_t time_ns)
{
    EventHead event;
    event.pid = pid;
    event.tid = tid;
    event.seq = 1;
    event.time_ns = time_ns;
    return event;
}

// What a thread with a deep stack did.
template <class Event>
Event with_stack(const EventHead& event)
{
    Event one;
    one.head = event;
    one.stack.bytes.resize(stack_bytes);
    return one;
}

// One block after the other, 12 ms of which each but `longer_ns`, ended by a thread with a deep stack.
void add_block(DispatchBook& book, std::uint32_t pid, std::uint32_t tid, std::uint64_t number,
               std::uint64_t longer_ns = 0)
{
    const auto start_ns = 12'000'000 * (number + 1);
    auto waker = with_stack<WakerEvent>(event_of(pid, tid, start_ns + 12'000'000 + longer_ns));
    waker.waker_tid = 99;
    book.add(std::move(waker));
    auto block = with_stack<SourceEvent>(event_of(pid, tid, start_ns + 12'000'000 + longer_ns));
    block.waker.tid = 99;
    block.single = true;
    block.block_start_ns = start_ns;
    block.block_end_ns = block.head.time_ns;
    if (number != 0) block.stack.bytes.clear();
    book.add(std::move(block));
}

bool has_waker(const LongBlock& block)
{
    return block.waker_stack && !block.waker_stack->stack.bytes.empty();
}

std::size_t wakers_of(const DispatchBundle& bundle)
{
    return static_cast<std::size_t>(std::ranges::count_if(bundle.long_blocks, has_waker));
}

std::size_t memory_of(const DispatchBundle& bundle)
{
    std::size_t bytes = bundle.long_blocks.capacity() * sizeof(LongBlock);
    bytes += bundle.samples.capacity() * sizeof(SampleEvent);
    for (const auto& place : bundle.places) bytes += place.stack.bytes.capacity();
    for (const auto& sample : bundle.samples) bytes += sample.stack.bytes.capacity();
    for (const auto& block : bundle.long_blocks)
        bytes += block.waker_stack ? block.waker_stack->stack.bytes.capacity() : 0;
    return bytes;
}

std::size_t memory_of(const std::vector<DispatchBundle>& bundles)
{
    std::size_t bytes = 0;
    for (const auto& bundle : bundles) bytes += memory_of(bundle);
    return bytes;
}

}  // namespace

TEST_CASE("a place that blocks again has the latest sums and its first stack")
{
    DispatchBook book;
    auto place = with_stack<SourceEvent>(event_of(1, 2, 10));
    place.stack.registers.dwarf[Registers::pc_index] = 0x1000;
    place.count = 1;
    book.add(place);
    place.stack = {};
    place.count = 2;
    book.add(place);
    const auto kept = book.so_far(2, 1).places.at(0);
    CHECK(kept.count == 2);
    CHECK(kept.stack.bytes.size() == stack_bytes);
    CHECK(kept.stack.registers.pc() == 0x1000);
    CHECK(book.bytes() == stack_bytes);
}

TEST_CASE("dispatches that never end hold a bounded number of bytes, and leave some to other processes")
{
    DispatchBook book;
    for (std::uint64_t block = 0; block < 100; ++block)
        for (std::uint32_t tid = 1; tid <= 48; ++tid) add_block(book, 1, tid, block);
    CHECK(book.bytes() <= max_bytes);
    CHECK(book.bytes() > DispatchBook::max_stack_bytes);
    CHECK(book.overflow() > 1000);
    CHECK(book.so_far(48, 1).long_blocks.size() == 100);
    // The waker of the longest block is not left out while there is that of another.
    add_block(book, 1, 1, 100, 1'000'000);
    CHECK(has_waker(book.so_far(1, 1).long_blocks.at(100)));

    for (std::uint64_t block = 0; block < 100; ++block) add_block(book, 2, 200, block);
    CHECK(memory_of(book.abandon(200)) > DispatchBook::assured_stack_bytes);

    // What is left out takes no memory, and what has ended makes room.
    const auto ended = book.abandon_process(1);
    CHECK(ended.size() == 48);
    CHECK(memory_of(ended) <= max_bytes);
    CHECK(book.bytes() == 0);
    const auto overflow = book.overflow();
    for (std::uint64_t block = 0; block < 50; ++block) add_block(book, 3, 300, block);
    CHECK(book.overflow() == overflow);
    REQUIRE(book.abandon_process(3).size() == 1);
    CHECK(book.abandon_process(3).empty());
    CHECK(book.bytes() == 0);
}

TEST_CASE("records without stacks take a bounded number of bytes, too")
{
    DispatchBook book;
    for (std::uint32_t tid = 1; tid <= DispatchBook::max_open; ++tid)
        for (std::uint64_t number = 0; number < DispatchBook::max_long_blocks; ++number) {
            SourceEvent block;
            block.head = event_of(1, tid, number);
            block.single = true;
            book.add(std::move(block));
        }
    CHECK(memory_of(book.abandon_process(1)) <= DispatchBook::max_head_bytes);
    CHECK(book.overflow() > 0);
    CHECK(book.bytes() == 0);
}

TEST_CASE("samples of dispatches that have ended are part of what is held")
{
    DispatchBook book;
    for (std::uint64_t seq = 1; seq <= DispatchBook::max_samples; ++seq)
        for (std::uint32_t tid = 1; tid <= 64; ++tid) {
            auto sample = with_stack<SampleEvent>(event_of(1, tid, seq));
            sample.head.seq = seq;
            book.add(std::move(sample));
        }
    CHECK(book.bytes() <= max_bytes);
    std::size_t bytes = 0;
    for (std::uint32_t tid = 1; tid <= 64; ++tid) {
        IterationEvent iteration;
        iteration.head = event_of(1, tid, 0);
        iteration.head.seq = iteration.end_ns = DispatchBook::max_samples + 1;
        bytes += memory_of(book.close(iteration));
    }
    CHECK(bytes > DispatchBook::max_recent * stack_bytes);
    CHECK(bytes <= max_bytes);
    CHECK(book.bytes() == 0);
}

TEST_CASE("of many wakers of one place those that ended the longest blocks are told")
{
    constexpr auto most = DispatchBook::max_waker_stacks;
    DispatchBook book;
    for (std::uint64_t block = 0; block < 3 * most; ++block)
        add_block(book, 1, 1, block, block % 3 == 1 ? 1'000'000 : 0);
    auto ended = book.abandon(1);
    REQUIRE(ended.size() == 1);
    const auto& blocks = ended[0].long_blocks;
    REQUIRE(blocks.size() == 3 * most);
    CHECK(wakers_of(ended[0]) == most);
    CHECK(std::ranges::count_if(blocks, [](const LongBlock& block) {
              return has_waker(block) && block.end_ns - block.start_ns == 13'000'000;
          }) == most);
    CHECK(std::ranges::all_of(blocks, [](const LongBlock& block) { return block.waker.tid == 99; }));
    CHECK(book.overflow() == 2 * most);
}

TEST_CASE("of a dispatch that goes on the waker of its longest block is told, and who ended the others")
{
    DispatchBook book;
    for (std::uint64_t block = 0; block < 50; ++block) add_block(book, 1, 1, block, block == 20 ? 1'000'000 : 0);
    const auto so_far = book.so_far(1, 1);
    REQUIRE(so_far.long_blocks.size() == 50);
    CHECK(wakers_of(so_far) == 1);
    CHECK(has_waker(so_far.long_blocks[20]));
    CHECK(std::ranges::all_of(so_far.long_blocks, [](const LongBlock& block) { return block.waker.tid == 99; }));
    CHECK(so_far.places.size() == 1);
    CHECK(wakers_of(book.abandon(1).at(0)) == 50);
}

TEST_CASE("a waker of which the registers alone are known is told with these")
{
    DispatchBook book;
    WakerEvent waker;
    waker.head = event_of(1, 1, 10);
    waker.waker_tid = 99;
    book.add(std::move(waker));
    SourceEvent block;
    block.head = event_of(1, 1, 10);
    block.waker.tid = 99;
    block.single = true;
    book.add(std::move(block));
    CHECK(book.abandon(1).at(0).long_blocks.at(0).waker_stack);
}

TEST_CASE("stacks of exceptions wait for the next step of their thread, in bounded number")
{
    DispatchBook book;
    for (std::uint32_t tid = 1; tid <= 10'000; ++tid) book.add(with_stack<ThrownEvent>(event_of(1, tid, tid)));
    CHECK(book.bytes() <= max_bytes);
    CHECK(book.overflow() == 10'000 - DispatchBook::max_open);
    book.add(with_stack<ThrownEvent>(event_of(1, 7, 8)));
    const auto thrown = book.take_thrown(7);
    REQUIRE(thrown);
    CHECK(thrown->head.time_ns == 8);
    CHECK_FALSE(book.take_thrown(7));
    // What is not told of ends with its thread, or its process.
    (void)book.abandon(8);
    CHECK_FALSE(book.take_thrown(8));
    (void)book.abandon_process(1);
    CHECK(book.bytes() == 0);
}

namespace {

CallEvent call_of(std::uint64_t caller, std::uint64_t start_ns, std::uint64_t lasted_ns)
{
    CallEvent call;
    call.head = event_of(1, 1, start_ns + lasted_ns);
    call.caller = caller;
    call.start_ns = start_ns;
    call.end_ns = start_ns + lasted_ns;
    call.call = "fsync";
    return call;
}

}  // namespace

TEST_CASE("calls beyond the cap are part of the sum of their place, and the longest stay as they are")
{
    DispatchBook book;
    std::uint64_t total_ns = 0;
    for (std::uint64_t number = 0; number < 2'000; ++number) {
        const std::uint64_t lasted_ns = 1'000 + number;
        book.add(call_of(7 + number % 2, number * 10'000, lasted_ns));
        total_ns += lasted_ns;
    }
    // Of a place that has no record: its name is not kept, its time is.
    book.add(call_of(99, 30'000'000, 500));
    // What the shim had no room for.
    CallEvent rest;
    rest.head = event_of(1, 1, 40'000'000);
    rest.start_ns = rest.end_ns = 40'000'000;
    rest.more = 3;
    rest.more_ns = 700;
    book.add(std::move(rest));

    CHECK(book.so_far(1, 1).unrecorded_ns == 1'200);
    const auto ended = book.abandon(1);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].unrecorded_ns == 1'200);
    CHECK(ended[0].calls.size() == DispatchBook::max_calls);
    std::uint64_t kept_ns = 0, count = 0, longest_more_ns = 0;
    for (const auto& call : ended[0].calls) {
        kept_ns += call.end_ns - call.start_ns + call.more_ns;
        count += 1 + call.more;
        longest_more_ns = std::max<std::uint64_t>(longest_more_ns, call.more_longest_ns);
        CHECK(call.end_ns - call.start_ns >= 1'000 + 2'000 - DispatchBook::max_calls);
    }
    CHECK(kept_ns == total_ns);
    CHECK(count == 2'000);
    CHECK(longest_more_ns == 1'000 + 2'000 - DispatchBook::max_calls - 1);
    CHECK(book.overflow() == 2'001 - DispatchBook::max_calls);
}

TEST_CASE("a dispatch that slept when its loop was found has slept in that place until its first switch")
{
    constexpr std::uint64_t ms = 1'000'000;
    DispatchBook book;
    auto place = with_stack<SourceEvent>(event_of(1, 2, 500 * ms));
    place.syscall = 35;
    book.found_asleep(place);
    book.found_asleep(place);
    DispatchEvent closing;
    closing.head = event_of(1, 2, 1'400 * ms);
    closing.start_ns = 100 * ms;  // of which the session has seen nothing
    closing.entered_ns = 300 * ms;
    closing.seen_ns = 1'390 * ms;
    closing.end_ns = 1'400 * ms;
    SECTION("by its end")
    {
        const auto bundle = book.close(closing);
        REQUIRE(bundle.places.size() == 1);
        CHECK(bundle.places[0].syscall == 35);
        CHECK(bundle.places[0].total_ns == 1'090 * ms);
        CHECK(bundle.places[0].stack.bytes.size() == stack_bytes);
        CHECK(bundle.closing->blocked_ns == 1'090 * ms);
        CHECK(bundle.closing->seen_ns == 300 * ms);
    }
    SECTION("not if it was seen from the start")
    {
        closing.entered_ns = closing.seen_ns = 0;
        const auto bundle = book.close(closing);
        CHECK(bundle.places.empty());
        CHECK(bundle.closing->blocked_ns == 0);
    }
    CHECK(book.bytes() == 0);
}
