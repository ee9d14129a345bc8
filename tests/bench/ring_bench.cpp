// SPDX-License-Identifier: Apache-2.0
//
// How many findings a second a process can tell its ring, under `loopwatch run`: the shim is handed slow dispatches
// whose times are made up, as a runtime would, so that nothing else takes time. "ring_bench N PER_SECOND", 0: as fast
// as it can. Says "told N NS", the time that the telling took.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>

#include <loopwatch/loop_state.h>

namespace {

std::uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// A slot as a runtime publishes it.
lw_loop_slot published()
{
    lw_loop_slot slot = {};
    slot.magic = LW_SLOT_MAGIC;
    slot.abi = LW_ABI;
    slot.size = sizeof slot;
    slot.clock = LW_CLOCK_MONOTONIC;
    slot.loop_id = 1;
    return slot;
}

}  // namespace

int main(int argc, char** argv)
{
    auto* const enter = reinterpret_cast<lw_shim_register_fn*>(dlsym(RTLD_DEFAULT, LW_REGISTER_SYMBOL));
    auto* const ask = reinterpret_cast<lw_shim_listener_fn*>(dlsym(RTLD_DEFAULT, LW_LISTENER_SYMBOL));
    if (argc != 3 || enter == nullptr || ask == nullptr)
        return std::fputs("loopwatch run -- ring_bench N PER_SECOND\n", stderr), 1;
    const std::uint64_t count = std::strtoull(argv[1], nullptr, 10), rate = std::strtoull(argv[2], nullptr, 10);
    static lw_loop_slot slot = published();
    enter(&slot);
    const lw_listener* const listener = ask();
    if (listener == nullptr) return std::fputs("nobody listens\n", stderr), 1;

    constexpr std::uint64_t slow_ns = 200'000'000;
    const std::uint64_t began_ns = now_ns();
    for (std::uint64_t i = 0; i < count; ++i) {
        while (rate != 0 && (now_ns() - began_ns) * rate < i * 1'000'000'000) {
        }
        slot.seq += 2;
        listener->slow_dispatch(&slot, nullptr, nullptr, began_ns - slow_ns, began_ns);
    }
    std::printf("told %llu %llu\n", static_cast<unsigned long long>(count),
                static_cast<unsigned long long>(now_ns() - began_ns));
    enter(nullptr);
    return 0;
}
