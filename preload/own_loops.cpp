// SPDX-License-Identifier: Apache-2.0
#include "own_loops.hpp"

#include <cerrno>
#include <ctime>

#include "report.hpp"
#include "ring.hpp"
#include "shim_state.hpp"

namespace loopwatch::preload {
namespace {

constexpr unsigned places = 4;
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
    bool refused;  // no lane: never asked again
};

[[gnu::tls_model("initial-exec")]] constinit thread_local Poller poller = {};

bool same(const Place& a, const Place& b)
{
    return a.ip == b.ip && a.frame == b.frame;
}

// Of a loop that is known.
bool is_own(const Place& place)
{
    return place.frame == poller.idle.frame || (place.object >= 0 && place.object == poller.idle.object);
}

bool recurs(const Place& place)
{
    for (Candidate& candidate : poller.candidates)
        if (same(candidate.place, place)) return ++candidate.waits >= waits_of_a_loop;
    poller.candidates[poller.next++ % places] = {place, 1};
    return false;
}

void end_iteration(lw_lane& lane)
{
    lw_loop_slot& slot = body_of(lane).own;
    if ((slot.seq & 1) == 0) return;
    const std::uint64_t end_ns = now_ns(), lasted = end_ns - slot.start, seq = slot.seq;
    slot.busy_ticks += lasted;
    if (lasted > slot.max_ticks) slot.max_ticks = lasted;
    ++slot.dispatch_histogram[lw_bucket_of(lasted)];
    ++slot.iterations;
    slot.poll_since = end_ns;
    __atomic_store_n(&slot.seq, seq + 1, __ATOMIC_RELEASE);
    tell_dispatch(lane, slot, {seq, slot.start, end_ns, nullptr, nullptr});
}

}  // namespace

Wait enter_wait(Place place)
{
    if (thread.lane == nullptr) {
        if (place.object == lone || poller.refused || !recurs(place)) return Wait::nobodys;
        if (!claim_lane(nullptr)) {
            poller.refused = true;
            return Wait::nobodys;
        }
        thread.slot = &body_of(*thread.lane).own;
        poller.idle = place;
    } else if (!is_own(place)) {
        const bool outer = place.frame > poller.idle.frame;
        if (place.object == lone || !(outer ? recurs(place) : ++poller.elsewhere >= waits_elsewhere))
            return Wait::nested;
        poller.idle = place;
    }
    poller.elsewhere = 0;
    body_of(*thread.lane).own.stack_top = place.frame;
    end_iteration(*thread.lane);
    return Wait::idle;
}

void leave_wait()
{
    if (thread.lane == nullptr) return;
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
