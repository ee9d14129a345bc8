// SPDX-License-Identifier: Apache-2.0
//
// A test program in which a blocking call on the loop fails the very case that made it:
//
//   LOOPWATCH=warn LOOPWATCH_BLOCK_THRESHOLD=5ms LD_PRELOAD=build/lib/libloopwatch_preload.so
//   build/bin/examples/gate_test
//
// or `loopwatch run -- build/bin/examples/gate_test`, which names the call, its caller and the line. Without the shim
// the cases test what they test, and nothing else. With ORDER_BUG=1 in the environment one of them has the bug it is
// there for. Its main is Catch2's: a file of its own with `#define CATCH_CONFIG_MAIN`.
#include <catch2/catch.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt.hpp>

namespace {

using namespace std::chrono_literals;

// A case that derives from it fails if a loop was blocked while it ran.
class Unblocked {
public:
    Unblocked() = default;
    ~Unblocked() { CHECK(findings() == before_); }

private:
    static lw_u64 findings()
    {
        static auto* const shim = reinterpret_cast<lw_shim_findings_fn*>(dlsym(RTLD_DEFAULT, LW_FINDINGS_SYMBOL));
        return shim != nullptr ? shim() : 0;
    }
    lw_u64 before_ = findings();
};

// The code under test.
loopwatch::Task<int> save_order(int amount)
{
    if (std::getenv("ORDER_BUG") != nullptr) ::usleep(20'000);  // "the database needs a moment"
    co_await loopwatch::sleep_for(1ms);
    co_return amount * 2;
}

loopwatch::Task<int> price_order(int amount)
{
    co_await loopwatch::sleep_for(1ms);
    co_return amount * 3;
}

loopwatch::Task<> keep(loopwatch::Task<int> made, int& result)
{
    result = co_await std::move(made);
}

int on_a_loop(loopwatch::Task<int> made)
{
    loopwatch::Loop loop("orders");
    int result = 0;
    loopwatch::spawn(loop, keep(std::move(made), result), "case");
    loop.run();
    return result;
}

}  // namespace

TEST_CASE_METHOD(Unblocked, "an order is saved")
{
    CHECK(on_a_loop(save_order(21)) == 42);
}

TEST_CASE_METHOD(Unblocked, "an order is priced")
{
    CHECK(on_a_loop(price_order(14)) == 42);
}
