// SPDX-License-Identifier: Apache-2.0
#include "ring.hpp"

#include <cstddef>
#include <cstring>

#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "caller_memory.hpp"
#include "early_waits.hpp"
#include "lane.hpp"
#include "raw_syscall.hpp"
#include "real_symbols.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {
namespace {

constexpr unsigned max_candidates = 8;  // threads at a time: a loop that is known is never kept waiting for them

bool is_free(const lw_lane& lane)
{
    const auto tid = __atomic_load_n(&lane.tid, __ATOMIC_RELAXED);
    return tid == 0 || own_syscall(SYS_tgkill, ring->pid, tid, 0) == -ESRCH;
}

bool too_many_candidates()
{
    unsigned candidates = 0;
    for (const lw_lane& lane : ring->lanes)
        if (__atomic_load_n(&lane.candidate, __ATOMIC_RELAXED) != 0 && !is_free(lane)) ++candidates;
    return candidates >= max_candidates;
}

// It is the calling thread's.
void begin_lane(lw_lane& lane, const lw_loop_slot* slot, bool candidate)
{
    lw_lane_body& body = body_of(lane);
    body.ongoing.seq = 0;
    body.own = {};
    body.own.magic = LW_SLOT_MAGIC;
    body.own.abi = LW_ABI;
    body.own.size = sizeof body.own;
    body.own.clock = LW_CLOCK_MONOTONIC;
    body.own.tid = lane.tid;
    body.own.loop_id = lane.tid;
    body.own.floor_ns = 0;
    lane.slot = word(slot);
    lane.held = 0;
    for (lw_u64& place : lane.idle) __atomic_store_n(&place, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&lane.candidate, candidate ? 1 : 0, __ATOMIC_RELEASE);
    if (!candidate) __atomic_fetch_add(&lane.registrations, 1, __ATOMIC_RELEASE);
    __atomic_fetch_and(&ring->slots_copied, ~(1ull << (&lane - ring->lanes)), __ATOMIC_RELEASE);
    thread.lane = &lane;
    forget_calls(lane);
    if (slot != nullptr && !candidate) tell_loop_start(lane, *slot);
}

}  // namespace

bool is_ours()
{
    return in_own_process() && (sandboxed || own_syscall(SYS_getpid) == ring_owner);
}

bool has_room(const lw_lane& lane, std::uint32_t bytes, std::uint32_t spare)
{
    const std::uint64_t used = thread.head - __atomic_load_n(&lane.tail, __ATOMIC_ACQUIRE);
    const auto rest = static_cast<std::uint32_t>(LW_LANE_BYTES - thread.head % LW_LANE_BYTES);
    const std::uint32_t skipped = bytes > rest ? rest : 0;
    return used <= LW_LANE_BYTES && skipped + bytes + spare <= LW_LANE_BYTES - used;
}

unsigned char* reserve(lw_lane& lane, std::uint32_t bytes, std::uint64_t& head)
{
    if (!is_ours()) return nullptr;
    head = thread.head;
    if (lane.candidate != 0 && head + bytes - lane.head > held_bytes) {
        stop_measuring_candidate();
        return nullptr;
    }
    if (!has_room(lane, bytes, 0)) {
        ++lane.lost;
        return nullptr;
    }
    const auto at = static_cast<std::uint32_t>(head % LW_LANE_BYTES), rest = LW_LANE_BYTES - at;
    const std::uint32_t skipped = bytes > rest ? rest : 0;
    if (skipped >= sizeof(lw_event)) {
        lw_event filler = {};
        filler.size = skipped;
        std::memcpy(body_of(lane).records + at, &filler, sizeof filler);
    }
    head += skipped;
    return body_of(lane).records + head % LW_LANE_BYTES;
}

void append(lw_lane& lane, std::uint64_t head, std::uint32_t bytes)
{
    constexpr std::uint64_t align = LW_RECORD_ALIGN;
    thread.head = (head + bytes + align - 1) & ~(align - 1);
    __atomic_store_n(&lane.draft, thread.head, __ATOMIC_RELEASE);
}

void publish(lw_lane& lane)
{
    __atomic_store_n(&lane.head, thread.head, __ATOMIC_RELEASE);
}

void forget_sites()
{
    thread.sites = 0;
    thread.rest = false;
}

void forget_calls(lw_lane& lane)
{
    thread.head = lane.head;
    __atomic_store_n(&lane.draft, lane.head, __ATOMIC_RELEASE);
    thread.call_seq = 0;
    forget_sites();
    thread.unrecorded_ns = 0;
    thread.told = false;
}

bool populate(const void* at, std::size_t bytes)
{
    const auto first = word(at) & ~(page_bytes - 1), end = (word(at) + bytes + page_bytes - 1) & ~(page_bytes - 1);
    return own_syscall(SYS_madvise, first, end - first, MADV_POPULATE_WRITE) == 0;
}

bool claim_lane(const lw_loop_slot* slot, bool candidate)
{
    if (thread.lane != nullptr && sandboxed) {
        begin_lane(*thread.lane, slot, candidate);
        return true;
    }
    release_lane();
    if (ring == nullptr || (candidate && too_many_candidates())) return false;
    const auto tid = static_cast<lw_u32>(own_syscall(SYS_gettid));
    for (lw_lane& lane : ring->lanes) {
        lw_u32 owner = __atomic_load_n(&lane.tid, __ATOMIC_RELAXED);
        lw_lane_body& body = body_of(lane);
        if (!is_free(lane) || !(standalone != Standalone::off || populate(&body, sizeof body))) continue;
        if (sandboxed ||
            !__atomic_compare_exchange_n(&lane.tid, &owner, tid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        begin_lane(lane, slot, candidate);
        return true;
    }
    if (!candidate) __atomic_fetch_add(&ring->lanes_refused, 1, __ATOMIC_RELAXED);
    return false;
}

void release_lane()
{
    if (thread.lane == nullptr) return;
    tell_loop_stop(*thread.lane);
    if (sandboxed) return begin_lane(*thread.lane, nullptr, true);  // there is no way to another one
    __atomic_store_n(&thread.lane->tid, 0, __ATOMIC_RELEASE);
    thread.lane = nullptr;
}

// The child's mapping would keep its parent's ring in memory. It becomes memory of its own, as a signal handler may
// have forked in the middle of a record.
void leave_ring()
{
    if (ring != nullptr)
        own_syscall(SYS_mmap, word(ring), sizeof(lw_ring), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, ~std::uint64_t{0}, 0);
    ring = nullptr;
    thread.lane = nullptr;
}

}  // namespace loopwatch::preload
