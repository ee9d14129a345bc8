// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>

#include "stack/stack_cache.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t code = 0x400000, elsewhere = 0x7f0000000000, sp = 0x7ffc00001000;

std::vector<ModuleMapping> modules()
{
    std::vector<ModuleMapping> list(2);
    list[0].start = elsewhere;
    list[0].end = elsewhere + 0x1000;
    list[1].start = code;
    list[1].end = code + 0x1000;
    return list;
}

CapturedStack stack_of(std::vector<std::uint64_t> words, std::uint64_t at = sp)
{
    CapturedStack stack;
    stack.pid = 7;
    stack.base = at;
    stack.dwarf_registers[CapturedStack::sp_register] = at;
    stack.dwarf_registers[CapturedStack::pc_register] = code + 1;
    stack.bytes.resize(words.size() * sizeof words[0]);
    std::memcpy(stack.bytes.data(), words.data(), stack.bytes.size());
    return stack;
}

std::vector<Frame> frames(const char* module = "/bin/server")
{
    Frame frame;
    frame.function = "read_all";
    frame.module = module;
    frame.cfa = sp + 16;
    return {frame};
}

}  // namespace

TEST_CASE("code is what lies in a mapping")
{
    const CodeRanges ranges(modules());
    CHECK(ranges.contain(code));
    CHECK(ranges.contain(elsewhere + 0xfff));
    for (const auto address : {code - 1, code + 0x1000, elsewhere - 1, elsewhere + 0x1000, std::uint64_t(0)})
        CHECK_FALSE(ranges.contain(address));
    CHECK_FALSE(CodeRanges().contain(code));
}

TEST_CASE("a stack is the same one with other data in it, and at another address")
{
    const CodeRanges ranges(modules());
    StackCache cache;
    const auto first = stack_of({1, code + 16, 2, elsewhere + 5});
    cache.keep(StackCache::key_of(first, ranges), frames(), sp);
    const auto again = stack_of({77, code + 16, 0, elsewhere + 5}, sp + 4096);
    const auto known = cache.find(StackCache::key_of(again, ranges), again);
    REQUIRE(known);
    CHECK(known->front().function == "read_all");
    CHECK(known->front().cfa == sp + 4096 + 16);
    CHECK(cache.hits() == 1);
}

TEST_CASE("a stack is another one with another address of code, or the same at another place")
{
    const CodeRanges ranges(modules());
    StackCache cache;
    const auto first = stack_of({1, code + 16, 2, 3});
    cache.keep(StackCache::key_of(first, ranges), frames(), sp);
    auto other_pc = first, frame_pointer = first, cut = first;
    other_pc.dwarf_registers[CapturedStack::pc_register] = code + 2;
    frame_pointer.dwarf_registers[6] = sp + 8;
    cut.truncated = true;
    for (const auto& other :
         {stack_of({1, code + 17, 2, 3}), stack_of({code + 16, 1, 2, 3}), stack_of({1, 2, 2, 3}),
          stack_of({1, code + 16, 2}), stack_of({1, code + 16, code + 16, 3}), other_pc, frame_pointer, cut})
        CHECK_FALSE(cache.find(StackCache::key_of(other, ranges), other));
}

TEST_CASE("once a process has mapped other code, or for another process, nothing is known")
{
    StackCache cache;
    const auto stack = stack_of({1, code + 16});
    cache.keep(StackCache::key_of(stack, CodeRanges(modules())), frames(), sp);
    CHECK_FALSE(cache.find(StackCache::key_of(stack, CodeRanges(modules())), stack));
}

TEST_CASE("frames in code that belongs to no file are not kept")
{
    const CodeRanges ranges(modules());
    StackCache cache;
    const auto stack = stack_of({1, code + 16});
    const auto key = StackCache::key_of(stack, ranges);
    cache.keep(key, frames(""), sp);
    CHECK_FALSE(cache.find(key, stack));
}
