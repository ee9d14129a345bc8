// SPDX-License-Identifier: Apache-2.0
#include "collect/wire.hpp"

#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace loopwatch {

namespace {

static_assert(max_places == LW_SOURCES);
static_assert(Registers::sp_index == LW_REG_RSP && Registers::pc_index == LW_REG_RIP);
static_assert(sizeof(Registers) == sizeof(lw_registers));
static_assert(RawStack::max_bytes == LW_STACK_BYTES && RawStack::above_loop == LW_ABOVE_LOOP);
static_assert(TaskSnapshot::max_frames == LW_CHAIN);
static_assert(OngoingDispatch::no_place == LW_NO_PLACE);
static_assert(static_cast<int>(OffCpu::running) == LW_OFF_NOT && static_cast<int>(OffCpu::blocked) == LW_OFF_BLOCKED &&
              static_cast<int>(OffCpu::preempted) == LW_OFF_PREEMPTED &&
              static_cast<int>(OffCpu::stopped) == LW_OFF_STOPPED && static_cast<int>(OffCpu::idle) == LW_OFF_IDLE);

// All that the record has room for, and no more.
template <class T, std::size_t most>
BoundedList<T, most> list_of(const T (&field)[most], std::uint64_t count)
{
    return {field, count};
}

Contention contention_of(const lw_contention& raw)
{
    Contention contention;
    contention.longest_ns = raw.longest_ns;
    for (const auto& one : std::span(raw.preemptors).first(std::min<std::size_t>(raw.used, LW_PREEMPTORS)))
        contention.preemptors.push_back({one.pid, one.tid, bounded_text(one.comm), one.had_ns});
    return contention;
}

RawWaker raw_waker(const lw_waker& raw)
{
    return {raw.pid, raw.tid, bounded_text(raw.comm), raw.runq_ns, list_of(raw.kernel_stack, raw.depth)};
}

// A path's parts come innermost first.
SeenFile seen_file(const lw_file& raw)
{
    SeenFile file{raw.mode, raw.inode, raw.parts == LW_PATH_GIVEN, {}};
    if (file.given) {
        file.path = std::string_view(&raw.path[0][0], sizeof raw.path);
        return file;
    }
    char path[sizeof raw.path + LW_PATH_PARTS];
    std::size_t length = 0;
    for (auto part = std::min<std::uint32_t>(raw.parts, LW_PATH_PARTS); part-- > 0;) {
        path[length++] = '/';
        const auto bytes = ::strnlen(raw.path[part], LW_PATH_PART_BYTES);
        std::memcpy(path + length, raw.path[part], bytes);
        length += bytes;
    }
    file.path = std::string_view(path, length);
    return file;
}

template <class T>
bool take_first(std::span<const std::uint8_t>& bytes, T& to)
{
    if (bytes.size() < sizeof to) return false;
    std::memcpy(&to, bytes.data(), sizeof to);
    bytes = bytes.subspan(sizeof to);
    return true;
}

}  // namespace

EventHead event_head(const lw_event& raw)
{
    return {raw.time_ns, raw.pid, raw.tid, raw.loop_id, raw.seq};
}

Registers registers_of(const lw_registers& raw)
{
    Registers registers;
    std::ranges::copy(raw.dwarf, registers.dwarf.begin());
    return registers;
}

RawStack raw_stack(const lw_stack& raw, std::span<const std::uint8_t> bytes)
{
    return {registers_of(raw.registers), raw.base, raw.truncated != 0, {bytes.begin(), bytes.end()}};
}

TaskSnapshot task_snapshot(const lw_task_view& raw)
{
    TaskSnapshot task;
    task.id = raw.id;
    task.parent_id = raw.parent_id;
    task.created_at = raw.created_at;
    task.state = task_state(raw.state);
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(raw.chain_length, LW_CHAIN); ++i)
        task.frames.push_back({raw.chain_created[i], raw.chain_suspended[i]});
    task.name = bounded_text(raw.name);
    task.labels = bounded_text(raw.labels);
    return task;
}

CoroutineResume coroutine_resume(const lw_resume& raw)
{
    return {raw.frame, raw.function, raw.sp};
}

DispatchEvent dispatch_event(const lw_dispatch& raw)
{
    DispatchEvent event;
    event.head = event_head(raw.event);
    event.start_ns = std::min(raw.start_ns, raw.end_ns);  // both may be the target's word
    event.end_ns = raw.end_ns;
    event.resume = raw.resume;
    event.blocked_ns = raw.blocked_ns;
    event.runq_ns = raw.runq_ns;
    event.throttled_ns = raw.throttled_ns;
    event.stopped_ns = raw.stopped_ns;
    event.blocks = raw.blocks;
    event.preemptions = raw.preemptions;
    event.slow = raw.slow != 0;
    event.unclear = raw.unclear != 0;
    event.other_blocked_ns = raw.other_blocked_ns;
    event.impact_tasks = raw.impact_tasks;
    event.impact_max_ns = raw.impact_max_ns;
    event.impact_total_ns = raw.impact_total_ns;
    event.entered_ns = raw.entered_ns;
    event.seen_ns = raw.seen_ns;
    event.contention = contention_of(raw.contention);
    event.coroutine = coroutine_resume(raw.coroutine);
    for (const auto& park : raw.parks)
        if (park.since_ns != 0)
            event.waits.push_back({park.since_ns, park.left_ns, park.ip, park.sp, park.object, park.syscall});
    event.task = task_snapshot(raw.task);
    return event;
}

SourceEvent source_event(const lw_source& raw, std::span<const std::uint8_t> stack)
{
    SourceEvent event;
    event.head = event_head(raw.event);
    event.index = raw.index;
    event.count = raw.count;
    event.total_ns = raw.total_ns;
    event.longest_ns = raw.longest_ns;
    event.syscall = raw.syscall;
    event.state = raw.state;
    std::ranges::copy(raw.args, event.args.begin());
    event.single = raw.single != 0;
    event.block_start_ns = raw.block_start_ns;
    event.block_end_ns = raw.block_end_ns;
    event.waker = raw_waker(raw.waker);
    event.file = seen_file(raw.file);
    event.kernel_stack = list_of(raw.kernel_stack, raw.kernel_depth);
    event.task = task_snapshot(raw.task);
    event.stack = raw_stack(raw.stack, stack);
    return event;
}

OngoingDispatch ongoing_dispatch(const lw_loop& raw)
{
    OngoingDispatch ongoing;
    ongoing.seq = raw.seq;
    ongoing.off = raw.off <= LW_OFF_IDLE ? static_cast<OffCpu>(raw.off) : OffCpu::running;
    ongoing.off_ns = raw.off_ns;
    ongoing.wake_ns = raw.wake_ns;
    ongoing.place = raw.place;
    ongoing.entered_ns = raw.entered_ns;
    ongoing.seen_ns = raw.seen_ns;
    ongoing.blocked_ns = raw.blocked_ns;
    ongoing.runq_ns = raw.runq_ns;
    ongoing.throttled_ns = raw.throttled_ns;
    ongoing.stopped_ns = raw.stopped_ns;
    ongoing.other_blocked_ns = raw.other_blocked_ns;
    ongoing.blocks = raw.blocks;
    ongoing.preemptions = raw.preemptions;
    ongoing.contention = contention_of(raw.contention);
    return ongoing;
}

SleepingThread sleeping_thread(const lw_sleeper& raw)
{
    SleepingThread thread{raw.tid, raw.state, raw.syscall, raw.switches, {}, registers_of(raw.registers)};
    std::ranges::copy(raw.args, thread.args.begin());
    return thread;
}

bool selects(std::int64_t syscall)
{
    return syscall == SYS_select || syscall == SYS_pselect6;
}

std::vector<std::uint64_t> polled_descriptors(std::int64_t syscall, std::span<const std::uint8_t> bytes)
{
    std::vector<std::uint64_t> descriptors;
    if (selects(syscall)) {
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit)
            if (bytes[bit / 8] >> bit % 8 & 1) descriptors.push_back(bit);
        return descriptors;
    }
    // Of struct pollfd one that is negative is left out of the poll.
    for (pollfd polled; take_first(bytes, polled);)
        if (polled.fd >= 0) descriptors.push_back(static_cast<std::uint64_t>(polled.fd));
    return descriptors;
}

}  // namespace loopwatch
