// SPDX-License-Identifier: Apache-2.0
//
// What decode() allocates: the ring is drained at up to 100,000 records a second.
#include <lw_event.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "collect/event.hpp"

using namespace loopwatch;

namespace {

std::size_t allocations = 0;

template <class Raw>
std::vector<std::uint8_t> record_of(Raw raw, std::uint32_t kind, std::uint32_t stack_bytes = 0)
{
    raw.event.kind = kind;
    raw.event.size = static_cast<std::uint32_t>(sizeof raw) + stack_bytes;
    if constexpr (requires { raw.stack; }) raw.stack.bytes = stack_bytes;
    std::vector<std::uint8_t> bytes(raw.event.size);
    std::memcpy(bytes.data(), &raw, sizeof raw);
    return bytes;
}

// All of whose texts are as long as they can be, and whose lists are full.
template <class Raw>
Raw full()
{
    Raw raw;
    std::memset(&raw, 'x', sizeof raw);
    return raw;
}

std::size_t allocations_of(const std::vector<std::uint8_t>& bytes)
{
    std::size_t events = 0;
    const std::function<void(const Event&)> handle = [&](const Event&) { ++events; };
    const auto before = allocations;
    decode(bytes, handle);
    const auto more = allocations - before;
    REQUIRE(events == 1);
    return more;
}

}  // namespace

void* operator new(std::size_t bytes)
{
    ++allocations;
    if (void* const memory = std::malloc(bytes)) return memory;
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept
{
    std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept
{
    std::free(memory);
}

TEST_CASE("a record without a stack is decoded without an allocation")
{
    struct Step {
        lw_event event;
        lw_step step;
    };
    auto step = full<Step>();
    step.step.size = sizeof step.step;
    CHECK(allocations_of(record_of(step, LW_EVENT_STEPS)) == 0);
    CHECK(allocations_of(record_of(full<lw_dispatch>(), LW_EVENT_DISPATCH)) == 0);
    CHECK(allocations_of(record_of(full<lw_iteration>(), LW_EVENT_ITERATION)) == 0);
    CHECK(allocations_of(record_of(full<lw_source>(), LW_EVENT_SOURCE)) == 0);
    CHECK(allocations_of(record_of(full<lw_sample>(), LW_EVENT_SAMPLE)) == 0);
    CHECK(allocations_of(record_of(full<lw_call>(), LW_EVENT_CALL)) == 0);
}

TEST_CASE("one with a stack is decoded with that of its bytes")
{
    CHECK(allocations_of(record_of(full<lw_sample>(), LW_EVENT_SAMPLE, 4'096)) == 1);
}
