// SPDX-License-Identifier: Apache-2.0
#include "early_waits.hpp"

#include <cstring>

#include <sys/syscall.h>

#include "lane.hpp"
#include "report.hpp"
#include "shim_state.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {
namespace {

constexpr std::uint64_t candidate_seq = 1;  // odd: calls are measured

// In the draft, of the size of an lw_dispatch, so that it can become one. Of kind 0, which readers skip, and with a
// time, which the filler at a lane's end has not.
struct EarlyWait {
    lw_event event;
    Place place;
    std::uint64_t begin_ns, end_ns;
};
static_assert(sizeof(EarlyWait) <= sizeof(lw_dispatch));

template <class T>
T read_record(const unsigned char* at)
{
    T record;
    std::memcpy(&record, at, sizeof record);
    return record;
}

template <class T>
void write_record(unsigned char* at, const T& record)
{
    std::memcpy(at, &record, sizeof record);
}

// The interval since the last wait of a candidate ends; was it long?
void end_interval(lw_lane& lane, std::uint64_t now)
{
    lw_loop_slot& slot = body_of(lane).own;
    if (slot.start != 0 && now - slot.start >= threshold_ns && !thread.told) ++lane.held;
    __atomic_store_n(&slot.start, 0, __ATOMIC_RELAXED);
    thread.told = false;
    thread.waiting = true;
}

// From a draft to iterations of a loop that waits in `idle`. The draft is memory that others can write to: what does
// not fit in it ends the walk.
class Iterations {
public:
    Iterations(lw_lane& lane, const Place& idle) : lane_(lane), body_(body_of(lane)), slot_(body_.own), idle_(idle) {}

    bool write()
    {
        slot_.seq = 0;
        slot_.start = 0;
        first_ = lane_.head;
        const bool whole = each(lane_.head, [this](unsigned char* at, const lw_event& event, std::uint64_t next) {
            if (event.kind == LW_EVENT_CALL) on_call(at);
            if (event.kind == LW_EVENT_WAIT) on_question(at);
            if (event.kind == 0 && event.time_ns != 0) on_wait(at, next);
        });
        // One that has no end here: the draft was full.
        if ((slot_.seq & 1) != 0) {
            erase_calls(thread.head);
            --slot_.seq;
        }
        return whole;
    }

private:
    template <class Handle>
    bool each(std::uint64_t at, Handle handle)
    {
        constexpr std::uint64_t align = LW_RECORD_ALIGN;
        while (at != thread.head) {
            const std::uint64_t left = thread.head - at, within = at % LW_LANE_BYTES, rest = LW_LANE_BYTES - within;
            if (left > held_bytes) return false;
            if (rest < sizeof(lw_event)) {
                at += rest;
                continue;
            }
            unsigned char* const record = body_.records + within;
            const auto event = read_record<lw_event>(record);
            const std::uint64_t whole = (event.size + align - 1) & ~(align - 1);
            if (event.size < sizeof event || whole > left || whole > rest) return false;
            handle(record, event, at + whole);
            at += whole;
        }
        return true;
    }

    static void erase(unsigned char* at)
    {
        auto event = read_record<lw_event>(at);
        event.kind = 0;
        event.time_ns = 0;
        write_record(at, event);
    }

    // Those of an iteration that is not to be reported, and not what follows it from `until` on.
    void erase_calls(std::uint64_t until)
    {
        each(first_, [until](unsigned char* at, const lw_event& event, std::uint64_t next) {
            if (event.kind == LW_EVENT_CALL && next <= until) erase(at);
        });
    }

    bool is_idle(const Place& place) const
    {
        if (place.object == parked) return standalone != Standalone::off && place.frame >= idle_.frame;
        return is_own(place, idle_);
    }

    void on_wait(unsigned char* at, std::uint64_t next)
    {
        const auto wait = read_record<EarlyWait>(at);
        if (!is_idle(wait.place)) return;
        if ((slot_.seq & 1) != 0) end_iteration(at, next, wait.begin_ns);
        first_ = next;
        told_ = false;
        if (wait.end_ns == 0) return;  // it goes on
        slot_.idle_ticks += wait.end_ns - wait.begin_ns;
        slot_.start = wait.end_ns;
        slot_.seq += 1;
    }

    void end_iteration(unsigned char* at, std::uint64_t next, std::uint64_t end_ns)
    {
        const Dispatch iteration = close_iteration(slot_, end_ns);
        const bool slow = end_ns - iteration.start_ns >= threshold_ns;
        if (standalone != Standalone::off) return say_dispatch(slot_, iteration, slow);
        if (!slow && !told_) return erase_calls(next);
        if (slow) thread.slow_end_ns = end_ns;
        __atomic_fetch_add(&findings, 1, __ATOMIC_RELAXED);
        write_record(at, dispatch_record(lane_, slot_, iteration, slow));
    }

    // One that began before the iteration is the loop's own wait, or older than its first.
    void on_call(unsigned char* at)
    {
        auto call = read_record<lw_call>(at);
        if ((slot_.seq & 1) == 0 || call.start_ns < slot_.start) return erase(at);
        told_ |= call.end_ns - call.start_ns >= block_threshold_ns;
        call.event.seq = slot_.seq;
        write_record(at, call);
        if (standalone == Standalone::off) return;
        lw_call_detail detail = {};
        detail.fd = call.fd;
        detail.caller = call.caller;
        detail.arg = call.arg;
        std::memcpy(detail.text, call.text, sizeof detail.text);
        const auto* const name = reinterpret_cast<const char*>(at + offsetof(lw_call, call));
        note_call(slot_, name, {call.start_ns, call.end_ns}, detail);
    }

    // Asked about: a park, or a place that might have been the loop's.
    void on_question(unsigned char* at)
    {
        const auto wait = read_record<lw_wait>(at);
        if (wait.syscall == SYS_futex) return;
        if (!is_idle({wait.args[0], wait.args[1], static_cast<int>(wait.args[2])})) erase(at);
    }

    lw_lane& lane_;
    lw_lane_body& body_;
    lw_loop_slot& slot_;
    const Place idle_;
    std::uint64_t first_ = 0;  // position of the first record of the iteration
    bool told_ = false;        // a call of it was long
};

}  // namespace

void begin_early_wait(lw_lane& lane, const Place& place)
{
    lw_loop_slot& slot = body_of(lane).own;
    const std::uint64_t now = now_ns();
    slot.seq = thread.call_seq = candidate_seq;
    if (place.frame > slot.stack_top) slot.stack_top = place.frame;
    end_interval(lane, now);
    forget_sites();
    std::uint64_t head;
    unsigned char* const to = reserve(lane, sizeof(lw_dispatch), head);
    if (to == nullptr) return stop_measuring_candidate();
    EarlyWait wait = {};
    wait.event.size = sizeof(lw_dispatch);
    wait.event.time_ns = now;
    wait.place = place;
    wait.begin_ns = now;
    write_record(to, wait);
    append(lane, head, sizeof(lw_dispatch));
    thread.early_wait = to;
}

void begin_early_park(lw_lane& lane)
{
    end_interval(lane, now_ns());
    thread.early_wait = nullptr;
}

void end_early_wait(lw_lane& lane, std::uint64_t end_ns)
{
    thread.waiting = false;
    __atomic_store_n(&body_of(lane).own.start, end_ns, __ATOMIC_RELAXED);
    if (thread.early_wait == nullptr) return;
    auto wait = read_record<EarlyWait>(thread.early_wait);
    wait.end_ns = end_ns;
    write_record(thread.early_wait, wait);
    thread.early_wait = nullptr;
}

void hold_call(lw_lane& lane, bool is_long)
{
    if (!is_long || thread.waiting || thread.told) return;
    thread.told = true;
    ++lane.held;
}

void stop_measuring_candidate()
{
    thread.slot = nullptr;
    thread.waiting = false;
    thread.early_wait = nullptr;
    thread.unmeasured = true;
}

void publish_early_waits(lw_lane& lane, const Place& idle)
{
    if (!Iterations(lane, idle).write()) thread.head = lane.head;
    if (thread.unmeasured) ++lane.lost;
    thread.unmeasured = thread.waiting = false;
    thread.early_wait = nullptr;
    lane.held = 0;
    __atomic_fetch_add(&lane.registrations, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&lane.candidate, 0, __ATOMIC_RELEASE);
    if (standalone == Standalone::off) publish(lane);
    forget_calls(lane);
}

}  // namespace loopwatch::preload
