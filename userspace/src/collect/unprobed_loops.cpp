// SPDX-License-Identifier: Apache-2.0
#include "collect/unprobed_loops.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>
#include <string>
#include <utility>

#include "collect/loop_table.hpp"
#include "collect/tracepoints.hpp"
#include "collect/wire.hpp"
#include "loopwatch.skel.h"
#include "util/beside.hpp"
#include "util/fd.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_sleepers = 16'384;

// Not futex: a park that does not sleep is no boundary, and one that does is a context switch.
const std::vector<std::string> waits = {
#define LW_WAIT(number, name, what) "syscalls/sys_enter_" #name,
#include <lw_waits.def>
#undef LW_WAIT
};

}  // namespace

bool may_park(const std::array<std::uint64_t, 6>& args)
{
    return LW_MAY_PARK(args[1], args[2], args[3]);
}

std::vector<std::uint64_t> read_polled(std::int32_t syscall, const std::array<std::uint64_t, 6>& args,
                                       const Memory& memory)
{
    const bool set = selects(syscall);
    if (!set && syscall != SYS_poll && syscall != SYS_ppoll) return {};
    const auto most = std::min<std::uint64_t>(args[set ? 0 : 1], LW_POLLED_BYTES * 8);
    std::array<std::uint8_t, LW_POLLED_BYTES> polled = {};
    const auto bytes = std::min<std::uint64_t>(set ? (most + 7) / 8 : most * sizeof(pollfd), polled.size());
    if (!memory.read(args[set ? 1 : 0], polled.data(), bytes)) return {};
    return polled_descriptors(syscall, std::span(polled).first(bytes));
}

UnprobedLoops::UnprobedLoops(loopwatch_bpf& skeleton, LoopTable& table)
    : skeleton_(skeleton), table_(table), tracepoint_ids_(beside([] { return find_tracepoints(waits); }).share())
{
}

UnprobedLoops::~UnprobedLoops()
{
    (void)await_polls();
    detach(std::exchange(tracepoints_, {}));
    if (!loops_.empty()) ::munmap(loops_.data(), loops_.size_bytes());
}

Result<void> UnprobedLoops::watch(pid_t pid)
{
    if (loops_.empty()) {
        const auto& map = skeleton_.maps.unprobed;
        const std::size_t count = bpf_map__max_entries(map);
        void* const memory =
            ::mmap(nullptr, count * sizeof(lw_unprobed), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
        if (memory == MAP_FAILED) return errno_error(ExitCode::failed, "mapping the loops of programs without probes");
        loops_ = {static_cast<lw_unprobed*>(memory), count};
    }
    if (!watched_.emplace(pid, true).second) return {};
    auto& count = skeleton_.bss->unprobed_pids[static_cast<std::size_t>(pid) % std::size(skeleton_.bss->unprobed_pids)];
    std::atomic_ref(count).fetch_add(1);
    return {};
}

Result<void> UnprobedLoops::watch_polls(bool watch)
{
    if (attaching_.valid() && attaching_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return {};
    if (auto done = await_polls(); !done) return done;
    if (watch == !tracepoints_.empty()) return {};
    if (watch)
        attaching_ = beside([ids = tracepoint_ids_, program = skeleton_.progs.on_wait]() -> Result<std::vector<Link>> {
            const auto& found = ids.get();
            if (!found) return found.error();
            return attach_tracepoints(program, *found);
        });
    else
        detaching_ = std::jthread([links = std::exchange(tracepoints_, {})]() mutable { detach(std::move(links)); });
    return {};
}

Result<void> UnprobedLoops::await_polls()
{
    if (!attaching_.valid()) return {};
    auto attached = attaching_.get();
    if (!attached) return attached.error();
    tracepoints_ = std::move(*attached);
    return {};
}

std::uint64_t UnprobedLoops::take_awake_ns(std::uint32_t tid, std::uint64_t now_ns)
{
    auto* own = find(tid);
    return own ? loopwatch::take_awake_ns(*own, now_ns) : 0;
}

void UnprobedLoops::dismiss(pid_t pid)
{
    if (watched_.erase(pid) == 0) return;
    auto& count = skeleton_.bss->unprobed_pids[static_cast<std::size_t>(pid) % std::size(skeleton_.bss->unprobed_pids)];
    std::atomic_ref(count).fetch_sub(1);
}

std::vector<SleepingThread> UnprobedLoops::sleepers(pid_t pid) const
{
    std::vector<SleepingThread> sleepers;
    skeleton_.bss->iterated_pid = static_cast<std::uint32_t>(pid);
    bpf_link* const link = bpf_program__attach_iter(skeleton_.progs.on_thread, nullptr);
    if (!link) return sleepers;
    const Fd iterator(bpf_iter_create(bpf_link__fd(link)));
    lw_sleeper sleeper = {};
    // The kernel hands over whole records as long as the buffer holds one.
    while (iterator && sleepers.size() < max_sleepers &&
           ::read(iterator.raw(), &sleeper, sizeof sleeper) == sizeof sleeper)
        sleepers.push_back(sleeping_thread(sleeper));
    bpf_link__destroy(link);
    return sleepers;
}

void UnprobedLoops::set_stack_end(std::uint32_t tid, std::uint64_t stack_end)
{
    if (auto* own = find(tid)) own->slot.stack_top = loop_frame(stack_end);
}

TimeOff UnprobedLoops::begin_at(std::uint32_t tid, std::uint64_t begun_ns)
{
    auto* const own = find(tid);
    lw_loop loop = {};
    if (!own || own->slot.seq != 1 || bpf_map_lookup_elem(bpf_map__fd(skeleton_.maps.loops), &tid, &loop) != 0)
        return {};
    std::atomic_ref(own->slot.start).store(std::max<std::uint64_t>(begun_ns, own->slot.start));
    std::atomic_ref(own->starts).store(0);
    return {loop.other_blocked_ns, loop.runq_ns, loop.throttled_ns, loop.stopped_ns};
}

bool UnprobedLoops::enter(pid_t pid, std::uint32_t tid, std::span<const KnownSite> sites,
                          std::optional<std::uint32_t> asleep, std::uint64_t stack_end,
                          std::optional<std::uint64_t> begun_ns)
{
    lw_loop entry = {};
    entry.site = asleep.value_or(LW_NO_SITE);
    entry.off = asleep ? LW_OFF_IDLE : LW_OFF_NOT;
    return enter(pid, tid, entry, unprobed_slot(sites, stack_end, begun_ns));
}

std::optional<UnprobedLoops::LastWait> UnprobedLoops::last_wait(std::uint32_t tid, const UnprobedSite& site) const
{
    const lw_site_key thread = {tid, 0, 0, 0, 0};
    lw_asked last = {};
    if (bpf_map_lookup_elem(bpf_map__fd(skeleton_.maps.asked), &thread, &last) != 0) return std::nullopt;
    const bool here =
        last.ip == site.ip && last.sp == site.sp && last.object == site.object && last.syscall == site.syscall;
    return here ? std::optional<LastWait>({last.came_ns, last.slept != 0}) : std::nullopt;
}

bool UnprobedLoops::enter_hanging(pid_t pid, std::uint32_t tid, std::uint64_t stack_end)
{
    return enter_within(pid, tid, unprobed_slot({}, stack_end, monotonic_ns()));
}

bool UnprobedLoops::enter_starting(pid_t pid, std::uint32_t tid)
{
    auto own = unprobed_slot({}, no_end, monotonic_ns());
    own.starts = 1;
    return enter_within(pid, tid, own);
}

bool UnprobedLoops::enter_within(pid_t pid, std::uint32_t tid, lw_unprobed own)
{
    lw_loop entry = {};
    entry.site = LW_NO_SITE;
    own.found_hanging = 1;
    return enter(pid, tid, entry, own);
}

bool UnprobedLoops::enter(pid_t pid, std::uint32_t tid, const lw_loop& entry, const lw_unprobed& first)
{
    lw_loop loop = entry;
    loop.pid = static_cast<std::uint32_t>(pid);
    loop.loop_id = tid;
    const auto buffer = table_.enter(tid, loop, [&](std::uint32_t index) {
        auto& own = loops_[index];
        own = first;
        own.slot.magic = LW_SLOT_MAGIC;
        own.slot.abi = LW_ABI;
        own.slot.size = sizeof own.slot;
        own.slot.clock = LW_CLOCK_MONOTONIC;
        own.slot.loop_id = own.slot.tid = tid;
    });
    if (buffer) entered_[tid] = {loop.pid, *buffer};
    return buffer.has_value();
}

void UnprobedLoops::judge(std::uint32_t tid, const UnprobedSite& site, bool idle)
{
    store(tid, site, idle ? LW_VERDICT_IDLE : LW_VERDICT_BUSY);
}

void UnprobedLoops::store(std::uint32_t tid, const UnprobedSite& site, lw_verdict verdict)
{
    if (auto* own = find(tid)) store_verdict(*own, site, verdict);
}

void UnprobedLoops::ask_again(std::uint32_t tid, const UnprobedSite& site)
{
    store(tid, site, LW_VERDICT_ASK);
    const lw_site_key key = {tid, site.syscall, site.ip, site.sp, site.object};
    bpf_map_delete_elem(bpf_map__fd(skeleton_.maps.asked), &key);
}

void UnprobedLoops::ask_unanswered(std::uint32_t tid)
{
    if (auto* own = find(tid)) loopwatch::ask_unanswered(*own);
}

void UnprobedLoops::withdraw(std::uint32_t tid)
{
    const auto known = entered_.extract(tid);
    if (!known.empty()) table_.withdraw(known.mapped().pid, tid);
}

bool UnprobedLoops::has_site(std::uint32_t tid, const UnprobedSite& site) const
{
    const auto* own = find(tid);
    return own && loopwatch::has_site(*own, site);
}

std::uint64_t UnprobedLoops::ends_at(std::uint32_t tid, const UnprobedSite& site) const
{
    const auto* own = find(tid);
    return own ? loopwatch::ends_at(*own, site) : 0;
}

bool UnprobedLoops::undecided(std::uint32_t tid) const
{
    const auto* own = find(tid);
    lw_loop loop = {};
    if (!own || bpf_map_lookup_elem(bpf_map__fd(skeleton_.maps.loops), &tid, &loop) != 0) return false;
    return (loop.site < LW_SITES && !has_verdict(*own, loop.site)) || own->unclear_seq == own->slot.seq;
}

std::optional<LoopState> UnprobedLoops::slot(std::uint32_t tid) const
{
    const auto* own = find(tid);
    return own ? iteration_state(*own) : std::nullopt;
}

bool UnprobedLoops::saw_begin(std::uint32_t tid, std::uint64_t seq) const
{
    const auto* own = find(tid);
    return !own || !own->found_hanging || seq != 1;
}

CoroutineResume UnprobedLoops::coroutine(std::uint32_t tid, std::uint64_t seq) const
{
    const auto* own = find(tid);
    return own && own->resumed_seq == seq ? coroutine_resume(own->resume) : CoroutineResume{};
}

std::optional<std::uint64_t> UnprobedLoops::seq(std::uint32_t tid) const
{
    const auto now = slot(tid);
    if (!now) return std::nullopt;
    return now->seq;
}

lw_unprobed* UnprobedLoops::find(std::uint32_t tid) const
{
    const auto known = entered_.find(tid);
    if (known == entered_.end() || loops_[known->second.buffer].slot.tid != tid) return nullptr;
    return &loops_[known->second.buffer];
}

}  // namespace loopwatch
