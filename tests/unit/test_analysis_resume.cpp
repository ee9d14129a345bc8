// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "analysis/resume.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t entry_sp = 0x7ff8, cfa = entry_sp + 8, loop_cfa = 0x9000;

std::vector<Frame> stack(std::initializer_list<std::uint64_t> cfas)
{
    std::vector<Frame> frames;
    for (const auto one : cfas) {
        frames.emplace_back();
        frames.back().cfa = one;
    }
    return frames;
}

BlockFacts block(std::uint64_t total_ns, std::vector<Frame> frames)
{
    BlockFacts facts;
    facts.total_ns = total_ns;
    facts.stack = std::move(frames);
    return facts;
}

DispatchFacts part_of_an_iteration()
{
    DispatchFacts facts;
    facts.iteration = true;
    facts.end_ns = 100;
    Frame body;
    body.function = "store::save(int)";
    facts.resume = ResumeFacts{0x5000, entry_sp, {body}};
    return facts;
}

}  // namespace

TEST_CASE("what passed while a resume was on the stack is its doing")
{
    auto facts = part_of_an_iteration();
    SECTION("blocked")
    {
        facts.blocked_ns = 95;
        facts.blocks_by_place = {block(95, stack({0x7000, cfa, loop_cfa}))};
    }
    SECTION("on the CPU")
    {
        facts.samples = {{stack({0x7000, cfa, loop_cfa})}, {stack({cfa, loop_cfa})}};
    }
    SECTION("but for a little that the loop did")
    {
        facts.blocked_ns = 100;
        facts.blocks_by_place = {block(92, stack({cfa, loop_cfa})), block(8, stack({loop_cfa}))};
    }
    SECTION("as far as the stacks reach")
    {
        facts.blocked_ns = 100;
        facts.blocks_by_place = {block(100, stack({0x7000}))};
    }
    SECTION("when nothing was seen")
    {
    }
    attribute_to_resume(facts);
    CHECK_FALSE(facts.iteration);
    REQUIRE(facts.task);
    CHECK(facts.task->id == "0x5000");
    CHECK(facts.task->name == "store::save");
}

TEST_CASE("what passed once it had returned is not")
{
    auto facts = part_of_an_iteration();
    SECTION("a callback that blocked")
    {
        facts.blocked_ns = 95;
        facts.blocks_by_place = {block(95, stack({0x8800, loop_cfa}))};
    }
    SECTION("one that burned")
    {
        facts.samples = {{stack({cfa, loop_cfa})}, {stack({0x8800, loop_cfa})}, {stack({0x8800, loop_cfa})}};
    }
    attribute_to_resume(facts);
    CHECK(facts.iteration);
    CHECK_FALSE(facts.task);
    CHECK_FALSE(facts.resume);
}

TEST_CASE("a dispatch of Asio's has the name of the coroutine that awaited its operation")
{
    const auto frame = [](const char* function, bool inlined = false) {
        Frame one;
        one.function = function;
        one.file = "server.cpp";
        one.inlined = inlined;
        return one;
    };
    const std::vector<Frame> awaited = {
        frame("look_up()"),
        frame("shop::quote(tcp::socket&)"),
        frame("std::coroutine_handle<void>::resume() const", true),
        frame("asio::detail::awaitable_frame_base<asio::any_io_executor>::resume()", true),
        frame("asio::detail::scheduler::run(std::error_code&)"),
        frame("main")};
    DispatchFacts facts;
    facts.task.emplace().name = "async_receive";

    SECTION("by a place where it blocked")
    {
        facts.blocks_by_place = {block(1, {frame("main")}), block(1, awaited)};
        name_awaiting_coroutine(facts);
        CHECK(facts.task->name == "shop::quote/async_receive");
    }
    SECTION("by a sample")
    {
        facts.samples = {{awaited}};
        name_awaiting_coroutine(facts);
        CHECK(facts.task->name == "shop::quote/async_receive");
    }
    SECTION("none, if what ran is a callback")
    {
        facts.samples = {{{frame("look_up()"), frame("asio::detail::scheduler::run(std::error_code&)")}}};
        name_awaiting_coroutine(facts);
        CHECK(facts.task->name == "async_receive");
    }
}
