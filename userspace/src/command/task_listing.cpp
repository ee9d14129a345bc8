// SPDX-License-Identifier: Apache-2.0
#include "command/task_listing.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "analysis/task_lints.hpp"
#include "command/ending_signals.hpp"
#include "output/output.hpp"
#include "output/record_json.hpp"
#include "output/task_text.hpp"
#include "resolve/captured_stack.hpp"
#include "resolve/task_view.hpp"
#include "stack/symbol_worker.hpp"
#include "target/descriptor.hpp"
#include "target/loops.hpp"
#include "target/process.hpp"
#include "target/tasks.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t lines_at_once = 64u << 10;  // bytes

constexpr std::size_t most_table_bytes = 64 << 20;  // of sockets: 400,000 connections

struct LoopTasks {
    LoopView loop;
    LoopState slot;
    std::vector<TaskView> tasks;
};

WaitingFor waiting_for(const AwaitedView& awaited, std::uint64_t now_ns, const Process& process, Sockets& sockets,
                       const Memory& memory)
{
    WaitingFor waiting;
    waiting.kind = awaited_kind_name(awaited.kind);
    if (awaited.name != 0) waiting.name = memory.text(awaited.name, 128);
    if (awaited.kind == AwaitedKind::timer) waiting.remaining_ns = awaited.value - std::min(awaited.value, now_ns);
    if (awaited.kind == AwaitedKind::channel) waiting.values = awaited.value;
    const bool held = awaited.kind == AwaitedKind::mutex || awaited.kind == AwaitedKind::semaphore;
    if (held && awaited.value != 0) waiting.holder = std::to_string(awaited.value);
    if (awaited.fd >= 0) {
        waiting.fd = static_cast<std::uint64_t>(awaited.fd);
        const auto descriptor = describe_descriptor(process.pid(), awaited.fd, sockets);
        waiting.target = descriptor.target;
        waiting.peer = descriptor.peer;
        waiting.local = descriptor.local;
    }
    return waiting;
}

// Of one process, as they are now.
class Listing {
public:
    static Result<std::unique_ptr<Listing>> read(pid_t pid);

    std::size_t size() const { return order_.size(); }
    const TaskView& view(std::size_t at) const { return loops_[order_[at].first].tasks[order_[at].second]; }
    ListedTask listed(std::size_t at);
    // With who spawned it, of debug mode.
    ListedTask whole(std::size_t at);
    TaskListEnd end() const;
    // All of them, whatever was kept.
    std::vector<LintTask> for_lints() const;
    TaskComplaint complaint(const TaskLint& lint);
    std::uint64_t at_ns() const { return at_ns_; }
    // Only those with this state; empty: all. By id.
    void keep(const std::string& state);
    void sort(TaskOrder order);

private:
    explicit Listing(Process process) : process_(std::move(process)), ns_pid_(process_.ns_id(process_.pid())) {}
    std::vector<Frame> creation_stack(const TaskView& task);
    std::uint32_t pid() const { return static_cast<std::uint32_t>(process_.pid()); }
    Result<std::vector<std::uint64_t>> registries();

    Process process_;
    std::uint32_t ns_pid_ = 0;
    Loops names_{process_};
    Sockets sockets_{process_.pid(), most_table_bytes};
    std::vector<LoopTasks> loops_;
    std::vector<Subject> subjects_;                           // by loop
    std::vector<std::pair<std::size_t, std::size_t>> order_;  // loop, task
    std::vector<std::string> warnings_;
    std::uint64_t at_ns_ = 0, duration_ns_ = 0;
};

// Where its modules keep their lists of loops.
Result<std::vector<std::uint64_t>> Listing::registries()
{
    std::vector<std::uint64_t> found;
    auto modules = process_.modules();
    if (!modules) return modules.error();
    auto worker = SymbolWorker::start();
    if (!worker) return worker.error();
    for (const auto& module : *modules) {
        if (!module.file) continue;
        const auto scan = (*worker)->scan(module.file.raw());
        if (!scan || scan->registry_vaddr == 0) continue;
        found.push_back(registry_address(*scan, module));
    }
    std::ranges::sort(found);
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

Result<std::unique_ptr<Listing>> Listing::read(pid_t pid)
{
    auto process = Process::open(pid);
    if (!process) return process.error();
    std::unique_ptr<Listing> listing(new Listing(std::move(*process)));
    auto registries = listing->registries();
    if (!registries) return registries.error();
    if (registries->empty())
        return Error{ExitCode::not_permitted, fmt::format("process {} publishes no tasks: it has no probes", pid),
                     fmt::format("what blocks its loops can be told all the same: sudo loopwatch -p {}", pid)};
    listing->at_ns_ = monotonic_ns();
    bool readable = false;
    std::string other_version;
    std::size_t tasks = 0, bytes = 0;
    NamespaceThreads threads(listing->process_);
    for (const auto registry : *registries) {
        readable |= listing->names_.memory().object<std::uint64_t>(registry).has_value();
        for (const auto& [address, slot] : listing->names_.list(registry, other_version)) {
            LoopTasks of{listing->names_.view(address, slot, threads.tid(slot.tid)), slot, {}};
            if (tasks >= TaskReader::max_tasks) {  // a list that a thousand loops share is read a thousand times
                listing->warnings_.push_back(
                    fmt::format("loop {}: not read, {} tasks are enough", of.loop.name, tasks));
                break;
            }
            auto list = TaskReader(listing->names_.memory()).list(address, TaskReader::max_bytes - bytes);
            bytes = std::min(bytes + list.bytes, TaskReader::max_bytes);
            if (!list.broken.empty())
                listing->warnings_.push_back(fmt::format("loop {}: of its tasks {} were read, then {}", of.loop.name,
                                                         list.tasks.size(), list.broken));
            if (list.deeper != 0)
                listing->warnings_.push_back(
                    fmt::format("loop {}: {} tasks are chains of more than {} coroutines: the outer "
                                "ones are left out",
                                of.loop.name, list.deeper, TaskReader::max_frames));
            of.tasks = std::move(list.tasks);
            tasks += of.tasks.size();
            listing->subjects_.push_back({listing->pid(), of.loop.tid, listing->ns_pid_, of.loop.ns_tid,
                                          listing->process_.comm(static_cast<pid_t>(of.loop.tid))});
            listing->loops_.push_back(std::move(of));
        }
    }
    listing->duration_ns_ = monotonic_ns() - listing->at_ns_;
    if (!readable)
        return Error{ExitCode::not_permitted, fmt::format("the memory of process {} cannot be read", pid),
                     "it is another user's, or kernel.yama.ptrace_scope forbids it: sudo loopwatch ps …"};
    if (!other_version.empty()) listing->warnings_.push_back("loops are not listed, for they speak " + other_version);
    listing->keep("");
    return listing;
}

void Listing::keep(const std::string& state)
{
    order_.clear();
    for (std::size_t loop = 0; loop < loops_.size(); ++loop)
        for (std::size_t task = 0; task < loops_[loop].tasks.size(); ++task)
            if (state.empty() || state == task_state_name(loops_[loop].tasks[task].state))
                order_.emplace_back(loop, task);
    std::ranges::sort(order_, {}, [&](const auto& at) { return loops_[at.first].tasks[at.second].id; });
}

// Oldest, busiest and most often resumed first.
void Listing::sort(TaskOrder order)
{
    const auto cost = [&](const auto& at) -> std::uint64_t {
        const auto& of = loops_[at.first];
        const auto& task = of.tasks[at.second];
        switch (order) {
            case TaskOrder::id: return 0;
            case TaskOrder::age: return task.created_ns == 0 ? 0 : at_ns_ - std::min(at_ns_, task.created_ns);
            case TaskOrder::busy: return ticks_to_ns(of.slot, task.busy_ticks);
            case TaskOrder::resumes: return task.resumes;
        }
        return 0;
    };
    if (order != TaskOrder::id) std::ranges::stable_sort(order_, std::greater(), cost);
}

ListedTask Listing::listed(std::size_t at)
{
    const auto& loop = loops_[order_[at].first].loop;
    const auto& view = loops_[order_[at].first].tasks[order_[at].second];
    const auto text = [](std::uint64_t id) { return id == 0 ? std::string() : std::to_string(id); };
    ListedTask listed;
    listed.subject = subjects_[order_[at].first];
    listed.at_ns = at_ns_;
    listed.loop = {std::to_string(loop.id), loop.name};
    listed.task = task_info(view, names_);
    if (view.created_ns != 0) listed.age_ns = at_ns_ - std::min(at_ns_, view.created_ns);
    listed.busy_ns = ticks_to_ns(loops_[order_[at].first].slot, view.busy_ticks);
    listed.resumes = view.resumes;
    listed.awaits = text(view.awaits);
    if (view.awaited && view.awaits == 0)
        listed.waiting_for = waiting_for(*view.awaited, at_ns_, process_, sockets_, names_.memory());
    listed.cancel_requests = view.cancel_requests;
    listed.cancelled_by = text(view.cancelled_by);
    for (const auto& frame : view.frames) listed.frame_bytes.push_back(frame.bytes);
    if (view.extras != nullptr) {
        listed.cancel_reason = view.extras->cancel_reason;
        if (const auto asked_ns = view.extras->cancelled_ns; asked_ns != 0)
            listed.cancelling_ns = at_ns_ - std::min(at_ns_, asked_ns);
    }
    return listed;
}

ListedTask Listing::whole(std::size_t at)
{
    auto whole = listed(at);
    whole.created_stack = creation_stack(view(at));
    return whole;
}

// Empty: debug mode was off, or the stack cannot be read.
std::vector<Frame> Listing::creation_stack(const TaskView& task)
{
    if (task.extras == nullptr || task.extras->created_stack == 0) return {};
    const auto backtrace = read_backtrace(task.extras->created_stack, names_.memory());
    auto modules = process_.modules();
    auto worker = SymbolWorker::start();
    if (backtrace.empty() || !modules || !worker || !(*worker)->map_process(pid(), std::move(*modules))) return {};
    std::vector<Frame> stack;
    (*worker)->symbolize(pid(), call_sites(backtrace), [&](std::vector<Frame> frames) { stack = std::move(frames); });
    while ((*worker)->pending() != 0) {
        pollfd wait{(*worker)->descriptor(), POLLIN, 0};
        ::poll(&wait, 1, 1000);
        (*worker)->poll();
    }
    return stack;
}

TaskListEnd Listing::end() const
{
    TaskListEnd end;
    end.subject = {pid(), 0, ns_pid_, 0, process_.comm()};
    end.at_ns = at_ns_;
    end.tasks = size();
    end.duration_ns = duration_ns_;
    end.warnings = warnings_;
    return end;
}

std::vector<LintTask> Listing::for_lints() const
{
    std::vector<LintTask> tasks;
    for (const auto& loop : loops_)
        for (const auto& task : loop.tasks) {
            const bool locked_out = task.awaited && task.awaited->kind == AwaitedKind::mutex;
            const auto largest = std::ranges::max_element(task.frames, {}, &TaskFrame::bytes);
            const auto frame = largest == task.frames.end() ? TaskFrame{} : *largest;
            // Whoever waits for something leads to it, also once that has come.
            tasks.push_back({task.id, task.name, task.created_at, task.resumes, task.has_waited,
                             task.state == TaskState::running, task.awaits, locked_out ? task.awaited->value : 0,
                             frame.bytes, frame.created_at});
        }
    return tasks;
}

TaskComplaint Listing::complaint(const TaskLint& lint)
{
    TaskComplaint complaint{lint.rule, lint.text, lint.task == 0 ? "" : std::to_string(lint.task), {}};
    auto place = lint.place;
    for (const auto& loop : loops_)
        for (const auto& task : loop.tasks)
            if (task.id == lint.task) place = task.created_at;
    complaint.created_at = location_info(place, names_);
    return complaint;
}

Result<void> write_text(const ListingOptions& options, Listing& listing, std::size_t first, std::size_t last,
                        const TextStyle& style, Output& output)
{
    if (options.shape == TaskShape::whole) return output.write_lines(whole_task(listing.whole(first), style));
    TaskSource source{{}, [&](std::size_t at) { return listing.listed(first + at); }};
    for (auto at = first; at < last; ++at) {
        const auto& view = listing.view(at);
        const bool locked_out = view.awaits == 0 && view.awaited && view.awaited->kind == AwaitedKind::mutex;
        source.links.push_back({view.id, locked_out ? view.awaited->value : view.awaits});
    }
    if (options.shape == TaskShape::tree) return output.write_lines(task_forest(source, style));
    return task_table(source, style, [&](std::string_view lines) { return output.write_lines(lines); });
}

// Looks at processes, as often as it is asked to.
class TaskLister {
public:
    TaskLister(const ListingOptions& options, Output& output) : options_(options), output_(output) {}

    // Fails with no_such_target if no process, or not the task that was asked for, is there. One of several that cannot
    // be listed is left out of `pids`, with a warning: it is not to decide for the others.
    Result<void> look(std::vector<pid_t>& pids, bool tell);

private:
    Result<void> look(pid_t pid, bool tell);
    struct Look {
        std::uint64_t at_ns = 0;
        std::vector<LintTask> tasks;
    };
    Result<void> write(Listing& listing, std::size_t first, std::size_t last, const TaskListEnd& end);

    const ListingOptions& options_;
    Output& output_;
    std::map<pid_t, Look> before_;
};

Result<void> TaskLister::write(Listing& listing, std::size_t first, std::size_t last, const TaskListEnd& end)
{
    if (!options_.output.ndjson) {  // what one asks for and looks at: text in a pipe too
        const TextStyle style{wants_colours(output_.is_terminal(), options_.output.no_color)};
        auto written = write_text(options_, listing, first, last, style, output_);
        if (!written || options_.shape == TaskShape::whole) return written;
        return output_.write_lines(text_of(end, style));
    }
    const auto context = JsonContext::of_this_machine();
    std::string lines;
    for (auto at = first; at < last; ++at) {
        append_lines(options_.task != 0 ? listing.whole(at) : listing.listed(at), context, lines);
        if (lines.size() < lines_at_once) continue;
        if (auto written = output_.write_lines(std::exchange(lines, {})); !written) return written;
    }
    append_lines(end, context, lines);
    return output_.write_lines(lines);
}

Result<void> TaskLister::look(std::vector<pid_t>& pids, bool tell)
{
    for (const auto pid : std::vector(pids)) {
        const auto told = look(pid, tell);
        if (told) continue;
        const auto code = told.error().code;
        if (pids.size() == 1 || (code != ExitCode::no_such_target && code != ExitCode::not_permitted)) return told;
        std::erase(pids, pid);
        print_warning(fmt::format("process {} is not listed: {}", pid, told.error().what));
    }
    return {};
}

Result<void> TaskLister::look(pid_t pid, bool tell)
{
    auto read = Listing::read(pid);
    if (!read) return read.error();
    auto& listing = **read;
    listing.keep(options_.state);
    listing.sort(options_.order);
    auto end = listing.end();
    if (options_.lint || options_.repeat) {
        Look now{listing.at_ns(), listing.for_lints()};
        Look& before = before_[pid];
        for (const auto& lint : lint_tasks(now.tasks, before.tasks, now.at_ns - before.at_ns, options_.max_frame))
            end.lints.push_back(listing.complaint(lint));
        before = std::move(now);
    }
    if (!tell) return {};
    std::size_t first = 0, last = listing.size();
    if (options_.task != 0) {
        while (first < last && listing.view(first).id != options_.task) ++first;
        if (first == last)
            return Error{ExitCode::no_such_target, fmt::format("process {} has no live task #{}", pid, options_.task),
                         fmt::format("loopwatch ps -p {} lists them", pid)};
        last = first + 1;
        if (const auto& name = listing.view(first).name; !options_.task_name.empty() && options_.task_name != name)
            return Error{ExitCode::no_such_target,
                         fmt::format("task #{} of process {} is {}#{}, not {}", options_.task, pid, name, options_.task,
                                     options_.task_name),
                         fmt::format("loopwatch ps -p {} lists them", pid)};
    }
    return write(listing, first, last, end);
}

}  // namespace

Result<ExitCode> list_tasks(const ListingOptions& options)
{
    auto output = Output::open(options.output.file);
    if (!output) return output.error();
    auto pids = options.processes.find();
    if (!pids) return pids.error();
    auto signals = EndingSignals::open();
    if (!signals) return signals.error();
    TaskLister lister(options, *output);
    for (int looks = 1;; ++looks) {
        const bool more = options.repeat || (options.lint && looks == 1);
        const bool tell = options.repeat || !more;
        if (options.repeat && output->is_terminal())
            if (auto cleared = output->write_lines("\x1b[H\x1b[2J"); !cleared) return cleared.error();
        const auto told = lister.look(*pids, tell);
        // What one looks at may end: that is no failure.
        if (!told && looks > 1 && told.error().code == ExitCode::no_such_target) return ExitCode::done;
        if (!told) return told.error();
        if (!more || signals->arrived_within(options.interval_ns)) return ExitCode::done;
    }
}

}  // namespace loopwatch
