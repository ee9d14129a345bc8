// SPDX-License-Identifier: Apache-2.0
//
// What is left behind where there is no memory.
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <stop_token>
#include <utility>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

thread_local int allocations_left = -1;  // of this thread; -1: no limit

Task<> hold(std::shared_ptr<int>)
{
    co_await yield();
}

// A task without an allocation of its own, run by `start` on the `allocations`-th of which there is no more memory.
template <class Start>
bool runs_out_of_memory(int allocations, Start start)
{
    const auto held = std::make_shared<int>(0);
    bool out_of_memory = false;
    run([](int allocations, Start start, const std::shared_ptr<int>& held, bool& out_of_memory) -> Task<> {
        auto task = hold(held);
        allocations_left = allocations;
        try {
            co_await start(std::move(task));
        } catch (const std::bad_alloc&) {
            out_of_memory = true;
        }
        allocations_left = -1;
        CHECK(held.use_count() == 1);
    }(allocations, start, held, out_of_memory));
    return out_of_memory;
}

}  // namespace

// Not inlined: g++ would see malloc() and free() without the operators around them.
[[gnu::noinline]] void* operator new(std::size_t bytes)
{
    if (allocations_left == 0) throw std::bad_alloc();
    if (allocations_left > 0) --allocations_left;
    if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    throw std::bad_alloc();
}

[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept
{
    return std::malloc(bytes == 0 ? 1 : bytes);
}

[[gnu::noinline]] void operator delete(void* memory) noexcept
{
    std::free(memory);
}

[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept
{
    std::free(memory);
}

TEST_CASE("without memory for a limit or a stop token no task is left behind")
{
    int allocations = 0;
    while (runs_out_of_memory(allocations,
                              [](Task<> task) { return with_stop_token(std::stop_token(), std::move(task)); }))
        ++allocations;
    CHECK(allocations > 2);
    allocations = 0;
    while (runs_out_of_memory(allocations, [](Task<> task) { return with_timeout(1h, std::move(task)); }))
        ++allocations;
    CHECK(allocations > 2);
}
