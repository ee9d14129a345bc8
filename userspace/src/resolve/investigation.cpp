// SPDX-License-Identifier: Apache-2.0
#include "resolve/investigation.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <memory>

#include "analysis/calls.hpp"
#include "analysis/frames.hpp"
#include "analysis/resume.hpp"
#include "resolve/captured_stack.hpp"
#include "resolve/task_view.hpp"
#include "target/descriptor.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_task_shares = 8;

WokenBy woken_by(WakeOrigin origin)
{
    switch (origin) {
        case WakeOrigin::thread: return WokenBy::thread;
        case WakeOrigin::timer: return WokenBy::timer;
        case WakeOrigin::irq: return WokenBy::irq;
        case WakeOrigin::signal: return WokenBy::signal;
        case WakeOrigin::unknown: break;
    }
    return WokenBy::unknown;
}

// What the kernel saw behind a descriptor when the thread blocked on it; a path is that within its filesystem.
std::string seen_target(const SeenFile& file)
{
    if (S_ISSOCK(file.mode)) return fmt::format("socket:[{}]", file.inode);
    std::string path(file.path.view());
    if (S_ISFIFO(file.mode)) return path.empty() ? fmt::format("pipe:[{}]", file.inode) : "fifo:" + path;
    if (S_ISCHR(file.mode) && !path.empty()) return "/dev" + path;
    return path;
}

// The live descriptor knows the full path, if it still is the same file.
void set_descriptor(BlockFacts& block, const SeenFile& seen, int fd, pid_t pid)
{
    auto live = describe_descriptor(pid, fd);
    const bool same = seen.mode == 0 || live.inode == seen.inode;
    block.fd_target = same ? std::move(live.target) : seen_target(seen);
    block.peer = same ? std::move(live.peer) : S_ISSOCK(seen.mode) ? socket_peer(pid, seen.inode) : "";
}

BlockFacts block_facts(const SourceEvent& event, WatchedProcess& target, KernelSymbols& symbols)
{
    BlockFacts block;
    block.syscall = event.syscall;
    std::ranges::copy(event.args, block.args);
    block.ip = event.stack.registers.pc();
    block.sp = event.stack.registers.sp();
    block.task_state = event.state;
    block.total_ns = event.total_ns;
    block.longest_ns = event.longest_ns;
    block.count = event.count;
    block.last_start_ns = event.block_start_ns;
    block.last_end_ns = event.block_end_ns;
    for (const auto address : event.kernel_stack) {
        Frame frame;
        frame.function = symbols.name(address);
        frame.module = "[kernel]";
        frame.offset = address;
        block.kernel_stack.push_back(std::move(frame));
    }
    if (event.file.given) block.path = event.file.path;
    if (const int argument = fd_argument(event.syscall); argument >= 0 && argument < 6)
        set_descriptor(block, argument == 0 ? event.file : SeenFile{},
                       static_cast<int>(event.args[static_cast<std::size_t>(argument)]), target.process().pid());
    return block;
}

void set_waker(const RawWaker& raw, KernelSymbols& symbols, std::optional<Waker>& waker, WokenBy& origin)
{
    // Without a stack: not seen. Thread 0 is seen: on an idle CPU, which an interrupt hit, it is the current one (12 of
    // 23 sleeps).
    if (raw.kernel_stack.empty()) return;
    origin = woken_by(symbols.origin({raw.kernel_stack.begin(), raw.kernel_stack.size()}));
    if (origin != WokenBy::thread) return;
    if (raw.tid == 0)
        origin = WokenBy::unknown;
    else
        waker = Waker{raw.pid, raw.tid, std::string(raw.comm), {}, raw.runq_ns};
}

SingleBlock single_block(const LongBlock& block, KernelSymbols& symbols)
{
    SingleBlock single;
    single.place = block.place;
    single.start_ns = block.start_ns;
    single.end_ns = block.end_ns;
    set_waker(block.waker, symbols, single.waker, single.woken_by);
    return single;
}

CallFacts call_facts(const CallEvent& event, WatchedProcess& target)
{
    CallFacts call;
    call.call = event.call;
    call.start_ns = event.start_ns;
    call.end_ns = event.end_ns;
    call.more = event.more;
    call.more_ns = event.more_ns;
    call.more_longest_ns = event.more_longest_ns;
    call.fd = event.fd;
    call.arg = event.arg;
    call.text = event.text;
    if (const auto* made = call.call == "syscall" ? find_syscall(static_cast<std::int64_t>(event.arg)) : nullptr) {
        call.call = made->name;
        call.arg = 0;
    }
    if (event.fd >= 0) {
        auto descriptor = describe_descriptor(target.process().pid(), event.fd);
        const bool same = event.target.empty() || descriptor.target == event.target.view();
        call.fd_target = same ? std::move(descriptor.target) : std::string(event.target);
        if (same) call.peer = std::move(descriptor.peer);
    }
    return call;
}

// The task as it was while the dispatch ran: at its first block or sample, else as it is at its end.
const TaskSnapshot* task_view(const DispatchBundle& bundle)
{
    for (const auto& place : bundle.places)
        if (place.task.id) return &place.task;
    for (const auto& sample : bundle.samples)
        if (sample.task.id) return &sample.task;
    for (const auto& call : bundle.calls)
        if (call.task.id) return &call.task;
    return bundle.closing && bundle.closing->task.id ? &bundle.closing->task : nullptr;
}

// Whose dispatches they were, by the time for which each was met.
std::vector<TaskShare> task_shares(const DispatchBundle& bundle)
{
    struct Met {
        TaskShare share;
        std::uint64_t for_ns = 0;
    };
    std::map<std::uint64_t, Met> by_id;
    std::uint64_t whole_ns = 0;
    const auto meet = [&](const TaskSnapshot& task, std::uint64_t for_ns) {
        whole_ns += for_ns;
        if (task.id == 0) return;
        auto& met = by_id[task.id];
        met.share.id = std::to_string(task.id);
        met.share.name = task.name;
        met.for_ns += for_ns;
    };
    for (const auto& sample : bundle.samples) meet(sample.task, sample.stands_for_ns);
    for (const auto& place : bundle.places) meet(place.task, place.total_ns);
    std::vector<TaskShare> shares;
    for (auto& [id, met] : by_id) {
        met.share.percent = met.for_ns * 100 / std::max<std::uint64_t>(whole_ns, 1);
        shares.push_back(std::move(met.share));
    }
    std::ranges::stable_sort(shares, std::greater{}, &TaskShare::percent);
    shares.resize(std::min(shares.size(), max_task_shares));
    return shares;
}

void add_contention(DispatchFacts& facts, const Contention& contention)
{
    facts.longest_runq_ns = contention.longest_ns;
    for (const auto& one : contention.preemptors) {
        facts.preemptors_ns += one.had_ns;
        if (one.had_ns <= facts.preemptor_ns) continue;
        facts.preemptor = Waker{one.pid, one.tid, std::string(one.comm), {}};
        facts.preemptor_ns = one.had_ns;
    }
}

void add_closing(DispatchFacts& facts, const DispatchEvent& closing)
{
    facts.start_ns = closing.start_ns;
    facts.end_ns = closing.end_ns;
    facts.blocked_ns = closing.blocked_ns;
    facts.runq_ns = closing.runq_ns;
    facts.throttled_ns = closing.throttled_ns;
    add_contention(facts, closing.contention);
    facts.stopped_ns = closing.stopped_ns;
    facts.other_blocked_ns = closing.other_blocked_ns;
    facts.blocks = closing.blocks;
    facts.preemptions = closing.preemptions;
    facts.slow = closing.slow;
    facts.unclear = closing.unclear;
    for (const auto& wait : closing.waits)
        if (wait.since_ns >= closing.start_ns && wait.left_ns >= wait.since_ns && wait.left_ns <= closing.end_ns)
            facts.parks.push_back({wait.since_ns, wait.left_ns, wait.ip, wait.sp, wait.object, wait.syscall});
    // A dispatch whose start is not known may seem to begin after the session entered its loop.
    const auto seen_ns = std::min(closing.seen_ns ? closing.seen_ns : closing.entered_ns, closing.end_ns);
    facts.unseen_ns = seen_ns - std::min(seen_ns, closing.start_ns);
    // Who waits in the ready queue, the loop's probes tell; of an iteration nobody does.
    if (!facts.iteration) facts.impact = Impact{closing.impact_tasks, closing.impact_max_ns, closing.impact_total_ns};
}

// Of a dispatch that never ended: as much as its blocks tell.
void add_span(DispatchFacts& facts)
{
    facts.complete = false;
    facts.start_ns = facts.end_ns = 0;
    for (const auto& block : facts.long_blocks) {
        facts.start_ns = facts.start_ns ? std::min(facts.start_ns, block.start_ns) : block.start_ns;
        facts.end_ns = std::max(facts.end_ns, block.end_ns);
    }
}

}  // namespace

void investigate(DispatchBundle bundle, WatchedProcess& target, SymbolWorker& worker, KernelSymbols& kernel_symbols,
                 Investigations& all, std::function<void(DispatchFacts)> done)
{
    auto facts = std::make_shared<DispatchFacts>();
    facts->subject = target.subject(bundle.tid);
    facts->loop.id = std::to_string(bundle.loop_id);
    if (const auto* loop = target.find_loop(bundle.tid, bundle.loop_id)) {
        facts->loop.name = loop->name;
        facts->iteration = loop->slot == 0;
    }
    if (bundle.dispatches != 0) {
        facts->iteration = true;
        facts->dispatches = bundle.dispatches;
        facts->tasks = task_shares(bundle);
    }
    facts->seq = bundle.seq;
    const std::uint64_t resume = bundle.closing ? bundle.closing->resume : 0;
    if (const auto* view = facts->dispatches ? nullptr : task_view(bundle))
        facts->task = task_info(*view, resume, target.loops());
    for (const auto& place : bundle.places)
        facts->blocks_by_place.push_back(block_facts(place, target, kernel_symbols));
    for (const auto& block : bundle.long_blocks) facts->long_blocks.push_back(single_block(block, kernel_symbols));
    for (const auto& call : bundle.calls) facts->calls.push_back(call_facts(call, target));
    for (const auto& sample : bundle.samples)
        facts->samples.push_back({{}, sample.head.time_ns, std::max<std::uint64_t>(sample.stands_for_ns, 1)});
    facts->in_progress = bundle.in_progress;
    facts->last = bundle.last;
    facts->start_known = bundle.start_known;
    facts->end_known = bundle.end_known;
    facts->unrecorded_ns = bundle.unrecorded_ns;
    facts->calls_missing = bundle.calls_missing;
    if (bundle.closing)
        add_closing(*facts, *bundle.closing);
    else
        add_span(*facts);
    all.descriptors.complete(*facts);
    if (bundle.closing && bundle.closing->coroutine.frame)
        facts->resume = ResumeFacts{bundle.closing->coroutine.frame, bundle.closing->coroutine.sp, {}};

    // Answers come in order, but a full queue answers at once: the count starts with one that is ours.
    auto outstanding = std::make_shared<std::size_t>(1);
    auto held = std::make_shared<std::size_t>(0);
    const auto hold = [&waiting = all.waiting, &unnamed = all.unnamed, held, pid = bundle.pid](std::size_t bytes) {
        if (!waiting.take(pid, bytes)) {
            ++unnamed;
            return false;
        }
        *held += bytes;
        return true;
    };
    const bool named = hold(bytes_of(*facts));
    auto finish = [facts, outstanding, &waiting = all.waiting, held, pid = bundle.pid, done = std::move(done)] {
        if (--*outstanding != 0) return;
        waiting.give_back(pid, *held);
        for (const auto& single : facts->long_blocks) {
            auto* const place = facts->place_of(single);
            if (!place) continue;
            place->waker = single.waker;
            place->woken_by = single.woken_by;
        }
        name_awaiting_coroutine(*facts);
        done(std::move(*facts));
    };
    const auto answer_into = [&](std::vector<Frame>& to) {
        ++*outstanding;
        return [&to, hold, finish](std::vector<Frame> frames) {
            leave_out_shim(frames);
            if (hold(bytes_of(frames))) to = std::move(frames);
            finish();
        };
    };
    const auto ask = [&](std::uint32_t pid, auto& event, std::vector<Frame>& to) {
        if (!named) return;
        auto captured = captured_stack(pid, std::move(event.stack));
        captured.rationed = true;
        worker.unwind(std::move(captured), answer_into(to));
    };
    const auto ask_of_target = [&](auto& event, std::vector<Frame>& to) {
        if (!event.stack.bytes.empty()) ask(event.head.pid, event, to);
    };
    if (facts->resume && named)
        worker.symbolize(target.pid(), {bundle.closing->coroutine.function}, answer_into(facts->resume->body));
    for (std::size_t i = 0; i < bundle.places.size(); ++i)
        ask_of_target(bundle.places[i], facts->blocks_by_place[i].stack);
    for (std::size_t i = 0; i < bundle.calls.size(); ++i) ask_of_target(bundle.calls[i], facts->calls[i].stack);
    for (std::size_t i = 0; i < bundle.samples.size(); ++i) ask_of_target(bundle.samples[i], facts->samples[i].stack);
    for (std::size_t i = 0; i < bundle.long_blocks.size(); ++i) {
        auto& from = bundle.long_blocks[i].waker_stack;
        auto& waker = facts->long_blocks[i].waker;
        if (from && waker && all.strangers.known(waker->pid, target.pid(), worker))
            ask(waker->pid, *from, waker->stack);
    }
    finish();
}

}  // namespace loopwatch
