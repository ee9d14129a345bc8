// SPDX-License-Identifier: Apache-2.0
#include "own_loops.hpp"

#include <cerrno>
#include <ctime>

#include <sys/syscall.h>

#include "early_waits.hpp"
#include "report.hpp"
#include "ring.hpp"
#include "shim_state.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {
namespace {

constexpr unsigned places = 4;
constexpr unsigned parks = 16;             // places that the collector has been asked about; the oldest is forgotten
constexpr unsigned waits_of_a_loop = 3;    // in one place: until then it may be anybody's
constexpr unsigned waits_elsewhere = 256;  // since the loop's own place was last seen: it has another one

struct Candidate {
    Place place;
    unsigned waits;
};

struct Poller {
    Place idle;
    Candidate candidates[places];
    unsigned next;  // to give way
    unsigned elsewhere;
    bool refused;     // no lane: never asked again
    bool unmeasured;  // no lane for a candidate: it is measured once its loop is known
    std::uint64_t asked[parks];
    unsigned next_asked;
};

[[gnu::tls_model("initial-exec")]] constinit thread_local Poller poller = {};

bool same(const Place& a, const Place& b)
{
    return a.ip == b.ip && a.frame == b.frame;
}

// How often it has waited there.
unsigned waits_in(const Place& place)
{
    for (Candidate& candidate : poller.candidates)
        if (same(candidate.place, place)) return ++candidate.waits;
    poller.candidates[poller.next++ % places] = {place, 1};
    return 1;
}

bool recurs(const Place& place)
{
    return waits_in(place) >= waits_of_a_loop;
}

// Asks the collector, once a place.
void ask_about_park(lw_lane& lane, const Place& place)
{
    const auto key = lw_place_key(place.ip, place.frame);
    for (const auto asked : poller.asked)
        if (asked == key) return;
    poller.asked[poller.next_asked++ % parks] = key;
    tell_wait(lane, body_of(lane).own, SYS_futex, place.ip, place.frame, place.object);
}

// Without a collector that could be asked, a lock that is waited for no further in than the loop waits for events is
// its own: a guess, as either of the two functions may have the larger frame.
bool parks_idle(lw_lane& lane, const Place& place)
{
    if (standalone != Standalone::off) return place.frame >= poller.idle.frame;
    const auto key = lw_place_key(place.ip, place.frame);
    for (const lw_u64& known : lane.idle)
        if (__atomic_load_n(&known, __ATOMIC_RELAXED) == key) return true;
    ask_about_park(lane, place);
    return false;
}

void ask_about_poll(lw_lane& lane, const Place& place)
{
    tell_wait(lane, body_of(lane).own, place.object == many ? SYS_poll : SYS_epoll_wait, place.ip, place.frame,
              place.object);
}

// The loop waits here: what its parks are compared with.
void settle(const Place& place)
{
    poller.idle = place;
    ask_about_poll(*thread.lane, place);
}

void end_iteration(lw_lane& lane)
{
    lw_loop_slot& slot = body_of(lane).own;
    if ((slot.seq & 1) != 0) tell_dispatch(lane, slot, close_iteration(slot, now_ns()));
}

// A thread that is not known to run a loop waits, and is measured from its first wait for events on.
Wait enter_unknown_wait(const Place& place, bool first)
{
    if (place.object >= many && thread.lane == nullptr && !poller.unmeasured)
        poller.unmeasured = !claim_lane(nullptr, true);
    lw_lane* const lane = thread.lane;
    if (place.object >= many && lane != nullptr && !thread.unmeasured) thread.slot = &body_of(*lane).own;
    if (lane == nullptr || thread.slot == nullptr || thread.measured_seq != 0) return Wait::nobodys;
    if (place.object >= many || (place.object == parked && standalone != Standalone::off)) {
        begin_early_wait(*lane, place);
        if (first && thread.slot != nullptr) ask_about_poll(*lane, place);
    } else if (place.object == parked) {
        ask_about_park(*lane, place);
        begin_early_park(*lane);
    }
    return thread.slot != nullptr ? Wait::nested : Wait::nobodys;
}

// It has waited in this place often enough.
bool become_loop(const Place& place)
{
    if (thread.lane != nullptr) {
        publish_early_waits(*thread.lane, place);
    } else if (!claim_lane(nullptr)) {
        poller.refused = true;
        return false;
    }
    thread.slot = &body_of(*thread.lane).own;
    thread.measured_seq = 0;
    settle(place);
    return true;
}

}  // namespace

void forget_waits()
{
    poller = {};
}

int waits_for(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d)
{
    switch (number) {
        case SYS_futex: return LW_MAY_PARK(b, c, d) ? parked : nothing;
        case SYS_epoll_wait:
        case SYS_epoll_pwait:
        case SYS_epoll_pwait2: return static_cast<int>(a);
        case SYS_io_uring_enter: return c > 0 ? static_cast<int>(a) : nothing;
        case SYS_io_getevents:
        case SYS_io_pgetevents: return b > 0 ? object_at(reinterpret_cast<const void*>(a)) : nothing;
        case SYS_poll:
        case SYS_ppoll: return b > 1 ? many : lone;
        default: return nothing;
    }
}

Dispatch close_iteration(lw_loop_slot& slot, std::uint64_t end_ns)
{
    const std::uint64_t lasted = end_ns - slot.start, seq = slot.seq;
    slot.busy_ticks += lasted;
    if (lasted > slot.max_ticks) slot.max_ticks = lasted;
    ++slot.dispatch_histogram[lw_bucket_of(lasted)];
    ++slot.iterations;
    slot.poll_since = end_ns;
    __atomic_store_n(&slot.seq, seq + 1, __ATOMIC_RELEASE);
    return {seq, slot.start, end_ns, nullptr, nullptr};
}

Wait enter_wait(Place place)
{
    if (thread.lane == nullptr || thread.lane->candidate != 0) {
        const unsigned waits = place.object < many || poller.refused ? 0 : waits_in(place);
        const Wait early = poller.refused ? Wait::nobodys : enter_unknown_wait(place, waits == 1);
        if (waits < waits_of_a_loop || !become_loop(place)) return early;
    } else if (place.object == parked) {
        if (!parks_idle(*thread.lane, place)) return Wait::nested;
        end_iteration(*thread.lane);
        return Wait::idle;
    } else if (place.object == nothing) {
        return Wait::nested;
    } else if (!is_own(place, poller.idle)) {
        const bool outer = place.frame > poller.idle.frame;
        if (place.object == lone || !(outer ? recurs(place) : ++poller.elsewhere >= waits_elsewhere))
            return Wait::nested;
        settle(place);
    }
    poller.elsewhere = 0;
    body_of(*thread.lane).own.stack_top = place.frame;
    end_iteration(*thread.lane);
    return Wait::idle;
}

void leave_wait()
{
    if (thread.lane == nullptr || !in_own_process()) return;
    const int error = errno;
    lw_loop_slot& slot = body_of(*thread.lane).own;
    const std::uint64_t now = now_ns();
    if (slot.poll_since != 0) slot.idle_ticks += now - slot.poll_since;
    slot.poll_since = 0;
    slot.start = now;
    __atomic_store_n(&slot.seq, slot.seq + 1, __ATOMIC_RELEASE);
    errno = error;
}

}  // namespace loopwatch::preload
