// SPDX-License-Identifier: Apache-2.0
#include "ring.hpp"

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "caller_memory.hpp"
#include "raw_syscall.hpp"
#include "real_symbols.hpp"

namespace loopwatch::preload {
namespace {

constexpr unsigned max_images = 100;  // of one process, one after the other by exec
constexpr std::size_t max_path = 256;
constexpr std::uint32_t half_full = LW_LANE_BYTES / 2;

std::uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(now);
}

// A number and the colon behind it; false: there is none.
bool take_number(const char*& text, std::uint64_t& value)
{
    value = 0;
    const char* const begin = text;
    while (*text >= '0' && *text <= '9') value = value * 10 + static_cast<std::uint64_t>(*text++ - '0');
    return text != begin && *text++ == ':';
}

// DIRECTORY/PID.IMAGE, and the suffix.
bool ring_path(char (&path)[max_path], const char* directory, std::uint64_t pid, unsigned image, const char* suffix)
{
    const std::size_t length = std::strlen(directory);
    if (length == 0 || length + 32 > max_path) return false;
    std::memcpy(path, directory, length);
    char* at = path + length;
    *at++ = '/';
    char digits[20];
    unsigned count = 0;
    do digits[count++] = static_cast<char>('0' + pid % 10);
    while ((pid /= 10) != 0);
    while (count != 0) *at++ = digits[--count];
    *at++ = '.';
    if (image >= 10) *at++ = static_cast<char>('0' + image / 10);
    *at++ = static_cast<char>('0' + image % 10);
    std::strcpy(at, suffix);
    return true;
}

// Memory is there before it is written to, or not used at all: a file system that is full would end the program with
// SIGBUS. Kernels before 5.14 cannot say so.
bool populate(const void* at, std::size_t bytes)
{
    const auto first = word(at) & ~(page_bytes - 1), end = (word(at) + bytes + page_bytes - 1) & ~(page_bytes - 1);
    return raw_syscall(SYS_madvise, first, end - first, MADV_POPULATE_WRITE) == 0;
}

// Maps a new file of this name, ready to be read.
lw_ring* map_new(const char* path, std::uint64_t pid)
{
    const long fd = raw_syscall(SYS_open, word(path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return nullptr;
    const auto file = static_cast<std::uint64_t>(fd);
    long address = raw_syscall(SYS_ftruncate, file, sizeof(lw_ring));
    if (address == 0) address = raw_syscall(SYS_mmap, 0, sizeof(lw_ring), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    raw_syscall(SYS_close, file);
    if (address < 0 && address >= -4095) return nullptr;
    auto* const made = reinterpret_cast<lw_ring*>(address);
    if (!populate(made, offsetof(lw_ring, bodies))) return nullptr;
    made->abi = LW_RING_ABI;
    made->bytes = sizeof(lw_ring);
    made->pid = static_cast<lw_u32>(pid);
    __atomic_store_n(&made->magic, LW_RING_MAGIC, __ATOMIC_RELEASE);
    return made;
}

// The collector sees the file when it has its name, so it gets that last.
lw_ring* make_ring(const char* directory, std::uint64_t pid)
{
    char draft[max_path], name[max_path];
    if (!ring_path(draft, directory, pid, 0, LW_RING_DRAFT)) return nullptr;
    lw_ring* const made = map_new(draft, pid);
    long linked = made != nullptr ? -EEXIST : 0;
    for (unsigned image = 0; linked == -EEXIST && image < max_images; ++image)
        if (ring_path(name, directory, pid, image, "")) linked = raw_syscall(SYS_link, word(draft), word(name));
    raw_syscall(SYS_unlink, word(draft));
    return linked == 0 ? made : nullptr;
}

// The environment's wish, if it is for this process.
[[gnu::constructor]] void join_run()
{
    const char* wish = std::getenv(LW_RUN_VARIABLE);
    std::uint64_t pid = 0, threshold = 0, block_threshold = 0;
    if (wish == nullptr || !take_number(wish, pid) || !take_number(wish, threshold) ||
        !take_number(wish, block_threshold))
        return;
    const auto own = static_cast<std::uint64_t>(raw_syscall(SYS_getpid));
    if (pid != 0 && pid != own) return;
    threshold_ns = threshold;
    block_threshold_ns = block_threshold;
    ring = make_ring(wish, own);
}

bool is_free(const lw_lane& lane)
{
    const auto tid = __atomic_load_n(&lane.tid, __ATOMIC_RELAXED);
    return tid == 0 || raw_syscall(SYS_tgkill, ring->pid, tid, 0) == -ESRCH;
}

// Room for one more record, in one piece; null: there is none. It is part of the lane once `append` has been told how
// much of it, and exists for the reader after publish().
unsigned char* reserve(lw_lane& lane, std::uint32_t bytes, std::uint64_t& head)
{
    head = thread.head;
    const std::uint64_t used = head - __atomic_load_n(&lane.tail, __ATOMIC_ACQUIRE);
    const auto at = static_cast<std::uint32_t>(head % LW_LANE_BYTES), rest = LW_LANE_BYTES - at;
    const std::uint32_t skipped = bytes > rest ? rest : 0;
    if (used > LW_LANE_BYTES || skipped + bytes > LW_LANE_BYTES - used) {
        ++lane.lost;
        return nullptr;
    }
    if (skipped >= sizeof(lw_event)) {
        lw_event filler = {};
        filler.size = skipped;
        std::memcpy(body_of(lane).records + at, &filler, sizeof filler);
    }
    head += skipped;
    return body_of(lane).records + head % LW_LANE_BYTES;
}

void append(std::uint64_t head, std::uint32_t bytes)
{
    constexpr std::uint64_t align = LW_RECORD_ALIGN;
    thread.head = (head + bytes + align - 1) & ~(align - 1);
}

void publish(lw_lane& lane)
{
    __atomic_store_n(&lane.head, thread.head, __ATOMIC_RELEASE);
}

// What was written of a dispatch that was not slow.
void forget_calls(const lw_lane& lane)
{
    thread.head = lane.head;
    thread.call_seq = 0;
    thread.sites = 0;
    thread.told = false;
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

void copy_text(char* to, std::size_t bytes, const char* from)
{
    for (std::size_t i = 0; i + 1 < bytes; ++i) {
        if ((i == 0 || word(from + i) % page_bytes == 0) && !is_readable(from + i, 1)) return;
        if (from[i] == '\0') return;
        to[i] = from[i];
    }
}

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

// A short call whose like was written in this dispatch, and is not the reader's yet: a sum. Of what does not fit the
// table only the sum is told, with the last.
bool add_to_its_like(lw_lane& lane, const void* caller, const char* call, std::uint64_t lasted_ns)
{
    for (unsigned i = 0; i < thread.sites; ++i) {
        const CallSite& site = call_sites[i];
        const bool same = site.caller == caller && site.call == call;
        if ((!same && i + 1 < sites_of_a_dispatch) || site.at < lane.head) continue;
        lw_call record;
        unsigned char* const at = body_of(lane).records + site.at % LW_LANE_BYTES;
        std::memcpy(&record, at, sizeof record);
        ++record.more;
        record.more_ns += lasted_ns;
        if (lasted_ns > record.more_longest_ns) record.more_longest_ns = lasted_ns;
        std::memcpy(at, &record, sizeof record);
        return true;
    }
    return false;
}

}  // namespace

bool claim_lane(const lw_loop_slot* slot)
{
    release_lane();
    if (ring == nullptr) return false;
    const auto tid = static_cast<lw_u32>(raw_syscall(SYS_gettid));
    for (lw_lane& lane : ring->lanes) {
        lw_u32 owner = __atomic_load_n(&lane.tid, __ATOMIC_RELAXED);
        lw_lane_body& body = body_of(lane);
        if (!is_free(lane) || !populate(&body, sizeof body)) continue;
        if (!__atomic_compare_exchange_n(&lane.tid, &owner, tid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) continue;
        body.ongoing.seq = 0;
        body.own = {};
        body.own.magic = LW_SLOT_MAGIC;
        body.own.abi = LW_ABI;
        body.own.size = sizeof body.own;
        body.own.clock = LW_CLOCK_MONOTONIC;
        body.own.tid = tid;
        body.own.loop_id = tid;
        body.own.floor_ns = 0;
        lane.slot = word(slot);
        __atomic_fetch_add(&lane.registrations, 1, __ATOMIC_RELEASE);
        thread.lane = &lane;
        forget_calls(lane);
        return true;
    }
    __atomic_fetch_add(&ring->lanes_refused, 1, __ATOMIC_RELAXED);
    return false;
}

void release_lane()
{
    if (thread.lane == nullptr) return;
    __atomic_store_n(&thread.lane->tid, 0, __ATOMIC_RELEASE);
    thread.lane = nullptr;
}

void leave_ring()
{
    ring = nullptr;
    thread.lane = nullptr;
}

[[gnu::noinline]] void tell_call(lw_lane& lane, const lw_loop_slot& slot, const char* call, CallTimes times,
                                 const lw_call_detail& detail)
{
    if (thread.call_seq != slot.seq) forget_calls(lane);
    const bool is_long = times.end_ns - times.start_ns >= block_threshold_ns;
    const auto* const caller = reinterpret_cast<const void*>(detail.caller);
    if (!is_long && add_to_its_like(lane, caller, call, times.end_ns - times.start_ns)) return;
    thread.call_seq = slot.seq;
    const bool with_stack = thread.head - __atomic_load_n(&lane.tail, __ATOMIC_RELAXED) < half_full;
    std::uint64_t head;
    unsigned char* const to =
        reserve(lane, static_cast<std::uint32_t>(sizeof(lw_call) + (with_stack ? LW_STACK_BYTES : 0)), head);
    if (to == nullptr) return;
    lw_call record = {};
    record.event = event_of(lane, slot, LW_EVENT_CALL, slot.seq);
    record.start_ns = times.start_ns;
    record.end_ns = times.end_ns;
    record.caller = detail.caller;
    record.arg = detail.arg;
    record.fd = detail.fd;
    copy_text(record.call, sizeof record.call, call);
    std::memcpy(record.text, detail.text, sizeof record.text);
    view_task(record.task, slot.task);
    if (with_stack) {
        capture(record.stack.registers);
        const auto top = slot.stack_top;
        copy_stack(record.stack, to + sizeof record, LW_STACK_BYTES, top);
    } else {
        ++lane.stacks_left_out;
    }
    record.event.size = static_cast<lw_u32>(sizeof record) + record.stack.bytes;
    std::memcpy(to, &record, sizeof record);
    append(head, record.event.size);
    if (thread.sites < sites_of_a_dispatch) call_sites[thread.sites++] = {caller, call, head};
    thread.told |= is_long;
    if (is_long) publish(lane);
}

void tell_dispatch(lw_lane& lane, const lw_loop_slot& slot, const Dispatch& dispatch)
{
    const bool slow = dispatch.end_ns - dispatch.start_ns >= threshold_ns;
    if (thread.call_seq != dispatch.seq || !(slow || thread.told)) forget_calls(lane);
    if (!slow && !thread.told) return;
    if (slow) thread.slow_end_ns = dispatch.end_ns;
    std::uint64_t head;
    unsigned char* const to = reserve(lane, sizeof(lw_dispatch), head);
    if (to == nullptr) return;
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
    std::memcpy(to, &record, sizeof record);
    append(head, sizeof record);
    publish(lane);
    forget_calls(lane);
}

void tell_iteration(lw_lane& lane, const lw_loop_slot& slot, std::uint64_t dispatches, std::uint64_t start_ns,
                    std::uint64_t end_ns)
{
    if (end_ns - start_ns < threshold_ns || thread.slow_end_ns > start_ns) return;
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
    append(head, sizeof record);
    publish(lane);
}

}  // namespace loopwatch::preload
