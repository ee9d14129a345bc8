// SPDX-License-Identifier: Apache-2.0
//
// All that becomes of records: decoded, gathered by dispatch, investigated, explained, written. The input is a script
// of records and of what a session does between them, in any order: see record_script.hpp and play(). The kernel side
// and the symbol worker are left out; the target is this process, whose memory is the input.
#include <sys/uio.h>

#include <algorithm>
#include <map>
#include <optional>

#include "analysis/explain.hpp"
#include "collect/dispatch_book.hpp"
#include "detect/idle_split.hpp"
#include "detect/iteration.hpp"
#include "detect/stall.hpp"
#include "finding_rules.hpp"
#include "late_worker.hpp"
#include "record_script.hpp"
#include "resolve/investigation.hpp"
#include "resolve/trace_events.hpp"

using namespace loopwatch;

namespace {

constexpr Thresholds thresholds{100 * RecordScript::ms, 10 * RecordScript::ms};
constexpr std::size_t most_steps = 512;

std::span<const std::uint8_t> memory;

class Fuzzed final : public WatchedProcess {
public:
    explicit Fuzzed(Process process) : WatchedProcess(std::move(process)) {}
    void add_loop(std::uint32_t tid, std::uint64_t id, std::uint64_t slot)
    {
        remove_loop(tid, id);
        views_.push_back({slot, id, tid, tid, "loop"});
    }
    void remove_loop(std::uint32_t tid, std::uint64_t id)
    {
        std::erase_if(views_, [&](const LoopView& loop) { return loop.tid == tid && loop.id == id; });
    }
    const LoopView* find_loop(std::uint32_t tid, std::uint64_t id) const override
    {
        const auto found =
            std::ranges::find_if(views_, [&](const LoopView& loop) { return loop.tid == tid && loop.id == id; });
        return found == views_.end() ? nullptr : &*found;
    }
    const LoopView* loop_of(std::uint32_t tid) const override
    {
        const auto found = std::ranges::find(views_, tid, &LoopView::tid);
        return found == views_.end() ? nullptr : &*found;
    }

private:
    std::vector<LoopView> views_;
};

Process this_process()
{
    auto process = Process::open(::getpid());
    hold(process.has_value(), "this process can be opened");
    return std::move(*process);
}

// What a session does, but for the kernel side.
class FuzzedSession {
public:
    FuzzedSession(RecordScript& script, bool wild, bool late, bool inside)
        : script_(script), rules_(wild), inside_(inside), target_(this_process()), worker_(late)
    {
        for (std::uint32_t tid = 1; tid <= RecordScript::threads; ++tid) target_.add_loop(tid, 1, tid % 2);
    }
    void play();
    void end();

private:
    template <class Record>
    void tell(Record record)
    {
        script_.tell(record, script_.stack(), [this](const Event& event) { on_event(event); });
    }
    void tell_plain(std::uint32_t kind);
    void on_event(const Event& event);
    void on(const LoopStartedEvent& event) { target_.add_loop(event.head.tid, event.head.loop_id, event.slot); }
    void on(const LoopStoppedEvent& event) { target_.remove_loop(event.head.tid, event.head.loop_id); }
    void on(const DispatchEvent& event) { explain_bundle(book_.close(event)); }
    void on(const IterationEvent& event) { explain_bundle(book_.close(event)); }
    void on(const SourceEvent& event) { book_.add(event); }
    void on(const SampleEvent& event)
    {
        sampled_ns_ += event.stands_for_ns;
        book_.add(event);
    }
    void on(const CallEvent& event) { book_.add(event); }
    void on(const WakerEvent& event) { book_.add(event); }
    void on(const WaitEvent& event);
    void on(const ShimWaitEvent&) {}
    void on(const StepEvent& event);
    void on(const ThrownEvent& event) { book_.add(event); }
    void on(const ExitEvent& event) { explain_all(book_.abandon(event.head.tid)); }
    void on(const ExecEvent& event) { explain_all(book_.abandon_process(event.head.pid)); }
    void on(const WakeEvent&) {}
    void on(const ChildEvent&) {}
    void on(const EndedEvent&) {}

    void found_blocked();
    void stall();
    void judge_wait();
    void explain_all(std::vector<DispatchBundle> bundles);
    void explain_bundle(DispatchBundle bundle);
    void ask(DispatchBundle bundle);
    void report(DispatchFacts facts);
    void check(const DispatchBundle& bundle) const;

    RecordScript& script_;
    FindingRules rules_;
    bool inside_;  // by the shim alone
    Fuzzed target_;
    LateWorker worker_;
    KernelSymbols& kernel_symbols_ = shared_kernel_symbols();
    Investigations investigations_;
    DispatchBook book_;
    WaitSites sites_;
    std::size_t investigated_ = 0, answered_ = 0;
    std::uint64_t sampled_ns_ = 0;

    static KernelSymbols& shared_kernel_symbols()  // they take 65 ms to read
    {
        static KernelSymbols symbols;
        return symbols;
    }
};

void FuzzedSession::check(const DispatchBundle& bundle) const
{
    hold(bundle.samples.size() <= DispatchBook::max_samples, "bounded samples");
    hold(bundle.calls.size() <= DispatchBook::max_calls, "bounded calls");
    hold(bundle.long_blocks.size() <= DispatchBook::max_long_blocks, "bounded long blocks");
    hold(bundle.places.size() <= std::max<std::size_t>(LW_SOURCES, DispatchBook::max_samples), "bounded places");
}

void FuzzedSession::explain_all(std::vector<DispatchBundle> bundles)
{
    hold(bundles.size() <= DispatchBook::max_open, "bounded dispatches");
    for (auto& bundle : bundles) explain_bundle(std::move(bundle));
}

void FuzzedSession::explain_bundle(DispatchBundle bundle)
{
    const auto idles = [](std::uint64_t caller) { return caller % 8 == 7; };
    if (inside_)
        for (auto& part : split_at_idle(bundle, idles, thresholds.slow_ns)) ask(std::move(part));
    ask(std::move(bundle));
}

void FuzzedSession::ask(DispatchBundle bundle)
{
    check(bundle);
    ++investigated_;
    investigate(std::move(bundle), target_, worker_, kernel_symbols_, investigations_, [this](DispatchFacts facts) {
        ++answered_;
        facts.scheduler_seen = !inside_;
        facts.thresholds = thresholds;
        report(std::move(facts));
    });
}

void FuzzedSession::report(DispatchFacts facts)
{
    if (!facts.iteration) return rules_.check(explain(facts));
    for (auto& one : part_iteration(std::move(facts), sites_))
        if (judge_iteration(one, sites_) == Iteration::real) rules_.check(explain(one));
}

void FuzzedSession::on_event(const Event& event)
{
    std::visit([this](const auto& typed) { on(typed); }, event);
}

void FuzzedSession::on(const StepEvent& event)
{
    auto record = task_event(event, target_);
    if (!record) return;
    const auto thrown = book_.take_thrown(event.head.tid);
    ++investigated_;
    complete(std::move(*record), event, thrown ? &*thrown : nullptr, worker_, [this](const TaskEvent& misuse) {
        ++answered_;
        rules_.check(misuse);
    });
}

void FuzzedSession::on(const WaitEvent& event)
{
    const auto& registers = event.stack.registers;
    const auto site = wait_site(event.head.tid, static_cast<std::uint32_t>(event.syscall), registers.pc(),
                                registers.sp(), event.args.data());
    for (const auto& verdict : sites_.judge(site, frames_of(event.stack.bytes), event.args[0]))
        hold(!verdict.idle || sites_.idles_at(verdict.site), "a verdict that is kept");
    hold(sites_.size() <= WaitSites::max_sites, "bounded sites");
}

void FuzzedSession::tell_plain(std::uint32_t kind)
{
    const auto head = script_.head(kind);
    if (kind == LW_EVENT_LOOP_START || kind == LW_EVENT_LOOP_STOP)
        tell(lw_loop_started{head, head.seq % 2, LW_ABI, kind == LW_EVENT_LOOP_START});
    else
        tell(head);
}

void FuzzedSession::judge_wait()
{
    lw_wait wait = {};
    wait.event = script_.head(LW_EVENT_WAIT);
    wait.syscall = script_.syscall();
    wait.args[0] = RecordScript::object;
    wait.args_are = LW_WAIT_ARGS_CALL;
    script_.registers(wait.stack.registers);
    tell(wait);
}

void FuzzedSession::found_blocked()
{
    const auto tid = script_.tid();
    script_.tell(script_.source(), script_.stack(), [&](const Event& event) {
        if (const auto* place = std::get_if<SourceEvent>(&event)) book_.found_blocked(tid, *place);
    });
    hold(book_.sample_distance_since(tid, 0) <= sampled_ns_, "samples that stand for no more than was sampled");
}

// Of a dispatch of which the book and the scheduler's view may have anything, or have it of another.
void FuzzedSession::stall()
{
    const auto head = script_.head(LW_EVENT_DISPATCH);
    const auto which = script_.byte();
    OverdueDispatch overdue;
    overdue.pid = head.pid;
    overdue.tid = head.tid;
    overdue.start_ns = script_.time_ns();
    overdue.now_ns = overdue.start_ns + script_.length_ns();  // the watchdog's: it does not come before
    overdue.start_known = which % 2 != 0;
    overdue.slot.seq = head.seq;
    overdue.slot.loop_id = head.loop_id;
    overdue.slot.queued = which;
    script_.overwrite(overdue.slot);
    if (which & 2) overdue.coroutine = {0x2000, 0x1000, 0x7000u + which * 8u};
    std::optional<OngoingDispatch> ongoing;
    if (which & 4) ongoing = script_.ongoing();
    for (auto places = which / 8 % (LW_SOURCES + 1u); ongoing && places > 0; --places)
        script_.tell(script_.source(), script_.stack(), [&](const Event& event) {
            if (const auto* place = std::get_if<SourceEvent>(&event)) ongoing->places.push_back(*place);
        });
    explain_bundle(stall_bundle(overdue, std::move(ongoing), book_));
}

void FuzzedSession::play()
{
    const auto overflow = book_.overflow();
    switch (script_.byte() % 16) {
        case 0:
        case 1: tell(script_.source()); break;
        case 2: tell(script_.call()); break;
        case 3:
            tell(lw_sample{script_.head(LW_EVENT_SAMPLE), script_.byte() * 1'000'000ull, script_.task(), {}});
            break;
        case 4: tell(lw_waker_stack{script_.head(LW_EVENT_WAKER), 1, script_.tid(), {}}); break;
        case 5:
        case 6: script_.tell(script_.dispatch(), {}, [this](const Event& event) { on_event(event); }); break;
        case 7: script_.tell(script_.iteration(), {}, [this](const Event& event) { on_event(event); }); break;
        case 8: stall(); break;
        case 9: found_blocked(); break;
        case 10: judge_wait(); break;
        case 11: tell_plain(LW_EVENT_LOOP_START + script_.byte() % 2u); break;
        case 12: tell_plain(script_.byte() % 4 ? LW_EVENT_EXIT : LW_EVENT_EXEC); break;
        case 13: tell(lw_thrown{script_.head(LW_EVENT_THROWN), 1, 1, {}}); break;
        case 14: {
            struct Steps {
                lw_event event;
                lw_step step;
            };
            script_.tell(Steps{script_.head(LW_EVENT_STEPS), script_.step()}, {},
                         [this](const Event& event) { on_event(event); });
            break;
        }
        default:
            for (auto answers = script_.byte() % 8u; answers > 0; --answers) worker_.poll();
            break;
    }
    explain_all(book_.take_superseded());
    hold(book_.overflow() >= overflow, "an overflow that is counted");
}

void FuzzedSession::end()
{
    auto rest = book_;
    std::size_t open = 0;
    for (std::uint32_t tid = 1; tid <= RecordScript::threads; ++tid) open += rest.abandon(tid).size();
    hold(open <= DispatchBook::max_open, "bounded dispatches");
    explain_all(book_.abandon_process(static_cast<std::uint32_t>(::getpid())));
    worker_.give_up();
    hold(investigated_ == answered_, "each dispatch is explained once");
    rules_.end();
}

}  // namespace

// The target's memory is the input, over and over; its first page is not there.
extern "C" ssize_t process_vm_readv(pid_t, const iovec* local, unsigned long, const iovec* remote, unsigned long,
                                    unsigned long)
{
    const auto address = reinterpret_cast<std::uintptr_t>(remote->iov_base);
    if (address < 4096 || memory.empty()) return -1;
    auto* const to = static_cast<std::uint8_t*>(local->iov_base);
    for (std::size_t i = 0; i < local->iov_len; ++i) to[i] = memory[(address + i) % memory.size()];
    return static_cast<ssize_t>(local->iov_len);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    memory = {data, size};
    const bool wild = data[0] & 1, late = data[0] & 2, inside = data[0] & 4;
    RecordScript script({data + 1, size - 1}, wild);
    FuzzedSession session(script, wild, late, inside);
    for (std::size_t i = 0; i < most_steps && !script.ended(); ++i) session.play();
    session.end();
    return 0;
}
