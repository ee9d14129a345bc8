// SPDX-License-Identifier: Apache-2.0
//
// What is written into a lane: calls, dispatches, waits, iterations.
#include <cstddef>
#include <cstring>

#include <sys/syscall.h>

#include "caller_memory.hpp"
#include "early_waits.hpp"
#include "lane.hpp"
#include "raw_syscall.hpp"
#include "real_symbols.hpp"
#include "ring.hpp"
#include "standalone.hpp"
#include "text.hpp"

namespace loopwatch::preload {
namespace {

constexpr std::uint32_t half_full = LW_LANE_BYTES / 2;

// As read_task of bpf/lw_target.bpf.h, from inside.
void view_task(lw_task_view& view, const lw_task* address)
{
    lw_task task;
    if (address == nullptr || !copy_out(task, address)) return;
    view.id = task.id;
    view.parent_id = task.parent_id;
    view.created_at = word(task.created_at);
    view.cancelled_by = task.cancelled_by;
    view.state = task.state;
    if (task.name != nullptr) copy_text(view.name, sizeof view.name, task.name);
    if (task.labels != nullptr) copy_text(view.labels, sizeof view.labels, task.labels);
    const lw_frame* next = task.leaf;
    for (lw_u32 i = 0; i < LW_CHAIN && next != nullptr; ++i) {
        lw_frame frame;
        if (!copy_out(frame, next)) return;
        view.chain_created[i] = word(frame.created_at);
        view.chain_suspended[i] = word(frame.suspended_at);
        view.chain_length = i + 1;
        next = frame.awaiter;
    }
}

// From the stack pointer up to the loop's frame and a little above, page by page, as far as there are any.
void copy_stack(lw_stack& stack, unsigned char* to, std::uint32_t room, std::uint64_t top)
{
    const std::uint64_t base = stack.registers.dwarf[LW_REG_RSP];
    std::uint64_t want = top > base ? top + LW_ABOVE_LOOP - base : room;
    if (want > room) want = room;
    stack.base = base;
    while (stack.bytes < want) {
        const std::uint64_t from = base + stack.bytes;
        std::uint64_t step = page_bytes - from % page_bytes;
        if (step > want - stack.bytes) step = want - stack.bytes;
        if (!word_is_readable(from)) break;
        std::memcpy(to + stack.bytes, reinterpret_cast<const void*>(from), step);
        stack.bytes += static_cast<lw_u32>(step);
    }
    stack.truncated = top != 0 && base + stack.bytes < top ? 1 : 0;
}

// By the time that somebody reads of it, it may be closed.
void name_descriptor(char (&to)[104], int fd)
{
    if (fd < 0) return;
    char path[32] = {};
    Text text(path);
    text.add("/proc/self/fd/", sizeof path);
    text.add(static_cast<std::uint64_t>(fd), 10);
    const long bytes = own_syscall(SYS_readlink, word(path), word(to), sizeof to);
    if (bytes < 0 || bytes == sizeof to) to[0] = '\0';  // cut short it would be another file's
}

// False: its record is the reader's already.
bool add_to(lw_lane& lane, const CallSite& site, std::uint64_t lasted_ns)
{
    if (site.at < lane.head) return false;
    lw_call record;
    unsigned char* const at = body_of(lane).records + site.at % LW_LANE_BYTES;
    std::memcpy(&record, at, sizeof record);
    ++record.more;
    record.more_ns += lasted_ns;
    if (lasted_ns > record.more_longest_ns) record.more_longest_ns = lasted_ns;
    std::memcpy(at, &record, sizeof record);
    return true;
}

// A short call whose like was written in this dispatch, and is not the reader's yet: a sum.
bool add_to_its_like(lw_lane& lane, const void* caller, const char* call, std::uint64_t lasted_ns)
{
    for (unsigned i = 0; i < thread.sites; ++i)
        if (call_sites[i].caller == caller && call_sites[i].call == call) return add_to(lane, call_sites[i], lasted_ns);
    return false;
}

// Its own, a free one, or one whose record is the reader's already: a dispatch that publishes often would have all of
// them used up soon, and each call a record. Null: all are in use.
CallSite* site_for(const lw_lane& lane, const void* caller, const char* call)
{
    CallSite* free = nullptr;
    for (unsigned i = 0; i < thread.sites; ++i) {
        CallSite& site = call_sites[i];
        if (site.caller == caller && site.call == call) return &site;
        if (site.at < lane.head) free = &site;
    }
    if (free != nullptr) return free;
    return thread.sites < sites_of_a_dispatch ? &call_sites[thread.sites++] : nullptr;
}

// A call without a record of its own or of its place: a record without a name holds the sum of all of them.
void add_to_rest(lw_lane& lane, const lw_loop_slot& slot, CallTimes times, bool is_long)
{
    const std::uint64_t lasted_ns = times.end_ns - times.start_ns;
    CallSite& rest = call_sites[rest_site];
    if (!thread.rest || !add_to(lane, rest, lasted_ns)) {
        std::uint64_t head;
        unsigned char* const to = reserve(lane, sizeof(lw_call), head);
        if (to == nullptr) {
            thread.unrecorded_ns += lasted_ns;
            return;
        }
        lw_call record = {};
        record.event = event_of(lane, slot, LW_EVENT_CALL, slot.seq);
        record.event.size = sizeof record;
        record.start_ns = record.end_ns = times.end_ns;
        record.fd = -1;
        record.more = 1;
        record.more_ns = record.more_longest_ns = lasted_ns;
        std::memcpy(to, &record, sizeof record);
        append(lane, head, sizeof record);
        rest = {nullptr, nullptr, head};
        thread.rest = true;
    }
    // A long one would have been a finding.
    ++(is_long ? lane.lost : lane.stacks_left_out);
}

}  // namespace

void copy_text(char* to, std::size_t bytes, const char* from)
{
    for (std::size_t i = 0; i + 1 < bytes; ++i) {
        if ((i == 0 || word(from + i) % page_bytes == 0) && !is_readable(from + i, 1)) return;
        if (from[i] == '\0') return;
        to[i] = from[i];
    }
}

lw_event event_of(const lw_lane& lane, const lw_loop_slot& slot, lw_event_kind kind, std::uint64_t seq)
{
    lw_event event = {};
    event.kind = kind;
    event.time_ns = now_ns();
    event.pid = ring->pid;
    event.tid = lane.tid;
    event.loop_id = slot.loop_id;
    event.seq = seq;
    return event;
}

[[gnu::noinline]] void tell_call(lw_lane& lane, const lw_loop_slot& slot, const char* call, CallTimes times,
                                 const lw_call_detail& detail)
{
    if (standalone != Standalone::off && lane.candidate == 0) return note_call(slot, call, times, detail);
    if (!is_ours()) return;
    if (thread.call_seq != slot.seq) forget_calls(lane);
    const bool is_long = times.end_ns - times.start_ns >= block_threshold_ns;
    const auto* const caller = reinterpret_cast<const void*>(detail.caller);
    if (!is_long && add_to_its_like(lane, caller, call, times.end_ns - times.start_ns)) return;
    thread.call_seq = slot.seq;
    const bool with_stack = standalone == Standalone::off && !sandboxed &&
                            thread.head - __atomic_load_n(&lane.tail, __ATOMIC_RELAXED) < half_full;
    const auto bytes = static_cast<std::uint32_t>(sizeof(lw_call) + (with_stack ? LW_STACK_BYTES : 0));
    const bool has_place = has_room(lane, bytes, spare_bytes);
    CallSite* const site = has_place ? site_for(lane, caller, call) : nullptr;
    if (!has_place || (site == nullptr && !is_long)) return add_to_rest(lane, slot, times, is_long);
    if (site != nullptr) *site = {};
    std::uint64_t head;
    unsigned char* const to = reserve(lane, bytes, head);
    if (to == nullptr) return;
    lw_call record = {};
    record.event = event_of(lane, slot, LW_EVENT_CALL, slot.seq);
    record.start_ns = times.start_ns;
    record.end_ns = times.end_ns;
    record.caller = detail.caller;
    record.arg = detail.arg;
    record.fd = detail.fd;
    std::memcpy(record.call, call,
                std::strlen(call));  // a name of the table, held against this size in begin_ongoing()
    std::memcpy(record.text, detail.text, sizeof record.text);
    name_descriptor(record.target, detail.fd);
    view_task(record.task, slot.task);
    if (with_stack) {
        capture(record.stack.registers);
        const auto top = slot.stack_top;
        copy_stack(record.stack, to + sizeof record, LW_STACK_BYTES, top);
    } else if (standalone == Standalone::off) {
        ++lane.stacks_left_out;
    }
    record.event.size = static_cast<lw_u32>(sizeof record) + record.stack.bytes;
    std::memcpy(to, &record, sizeof record);
    append(lane, head, record.event.size);
    if (site != nullptr) *site = {caller, call, head};
    if (lane.candidate != 0) return hold_call(lane, is_long);
    thread.told |= is_long;
    if (is_long) publish(lane);
}

lw_dispatch dispatch_record(const lw_lane& lane, const lw_loop_slot& slot, const Dispatch& dispatch, bool slow)
{
    lw_dispatch record = {};
    record.event = event_of(lane, slot, LW_EVENT_DISPATCH, dispatch.seq);
    record.event.size = sizeof record;
    record.start_ns = dispatch.start_ns;
    record.end_ns = dispatch.end_ns;
    record.resume = word(dispatch.resume);
    record.slow = slow;
    if (slot.impact_seq == dispatch.seq) {
        record.impact_tasks = slot.impact_tasks;
        record.impact_max_ns = slot.impact_max_ns;
        record.impact_total_ns = slot.impact_total_ns;
    }
    view_task(record.task, dispatch.task);
    record.task_id = record.task.id;
    return record;
}

void tell_dispatch(lw_lane& lane, const lw_loop_slot& slot, const Dispatch& dispatch)
{
    const bool slow = dispatch.end_ns - dispatch.start_ns >= threshold_ns;
    if (standalone != Standalone::off) return say_dispatch(slot, dispatch, slow);
    if (thread.call_seq != dispatch.seq || !(slow || thread.told)) forget_calls(lane);
    if (!slow && !thread.told) return;
    if (slow) thread.slow_end_ns = dispatch.end_ns;
    __atomic_fetch_add(&findings, 1, __ATOMIC_RELAXED);
    std::uint64_t head;
    unsigned char* const to = reserve(lane, sizeof(lw_dispatch), head);
    if (to == nullptr) return;
    lw_dispatch record = dispatch_record(lane, slot, dispatch, slow);
    record.other_blocked_ns = thread.unrecorded_ns;
    std::memcpy(to, &record, sizeof record);
    append(lane, head, sizeof record);
    publish(lane);
    forget_calls(lane);
}

[[gnu::noinline]] void tell_wait(lw_lane& lane, const lw_loop_slot& slot, int syscall, std::uint64_t ip,
                                 std::uint64_t frame, int object)
{
    if (standalone != Standalone::off) return;
    const bool in_a_dispatch = (slot.seq & 1) != 0 && thread.call_seq == slot.seq;
    if (!in_a_dispatch) forget_calls(lane);
    std::uint64_t head;
    if (lane.candidate == 0 && !has_room(lane, sizeof(lw_wait) + LW_STACK_BYTES, spare_bytes)) {
        if (is_ours()) ++lane.lost;
        return;
    }
    unsigned char* const to = reserve(lane, sizeof(lw_wait) + LW_STACK_BYTES, head);
    if (to == nullptr) return;
    lw_wait record = {};
    record.event = event_of(lane, slot, LW_EVENT_WAIT, slot.seq);
    record.syscall = syscall;
    record.args[0] = ip;
    record.args[1] = frame;
    record.args[2] = static_cast<lw_u64>(object);
    record.args_are = LW_WAIT_ARGS_PLACE;
    capture(record.stack.registers);
    copy_stack(record.stack, to + sizeof record, LW_STACK_BYTES, 0);
    record.event.size = static_cast<lw_u32>(sizeof record) + record.stack.bytes;
    std::memcpy(to, &record, sizeof record);
    append(lane, head, record.event.size);
    if (lane.candidate != 0) return;
    if (in_a_dispatch) thread.told = true;  // what stood before it is the reader's now
    publish(lane);
}

void tell_iteration(lw_lane& lane, const lw_loop_slot& slot, std::uint64_t dispatches, std::uint64_t start_ns,
                    std::uint64_t end_ns)
{
    if (standalone != Standalone::off || end_ns - start_ns < threshold_ns || thread.slow_end_ns > start_ns) return;
    std::uint64_t head;
    unsigned char* const to = reserve(lane, sizeof(lw_iteration), head);
    if (to == nullptr) return;
    lw_iteration record = {};
    record.event = event_of(lane, slot, LW_EVENT_ITERATION, slot.seq - 1);
    record.event.size = sizeof record;
    record.start_ns = start_ns;
    record.end_ns = end_ns;
    record.dispatches = dispatches;
    std::memcpy(to, &record, sizeof record);
    append(lane, head, sizeof record);
    publish(lane);
}

}  // namespace loopwatch::preload
