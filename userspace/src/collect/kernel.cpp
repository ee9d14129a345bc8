// SPDX-License-Identifier: Apache-2.0
#include "collect/kernel.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <lw_state.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdarg>
#include <cstring>
#include <fstream>
#include <future>
#include <set>
#include <thread>
#include <utility>

#include "collect/loop_table.hpp"
#include "collect/probe_table.hpp"
#include "collect/unprobed_loops.hpp"
#include "collect/wire.hpp"
#include "loopwatch.skel.h"

namespace loopwatch {

namespace {

// Typical cost of a run on a 3 GHz machine, where calibration saw none: ns.
constexpr std::array<std::uint64_t, LW_RUN_COUNT> typical_cost_ns = {60,  400, 300, 3000, 80, 3000,
                                                                     250, 30,  200, 200,  700};

// libbpf speaks up only when something fails; its first line is kept as the reason.
std::string last_complaint;

int keep_complaint(libbpf_print_level level, const char* format, va_list arguments)
{
    if (level != LIBBPF_WARN) return 0;
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    // The first one names the program, the last one the object only.
    if (std::strstr(line, "failed") && last_complaint.empty()) last_complaint = line;
    return 0;
}

Error load_error(const char* what, int error)
{
    errno = error < 0 ? -error : error;
    const bool denied = errno == EPERM;  // EACCES is the verifier's, of a program that it refuses
    auto failure = errno_error(denied ? ExitCode::not_permitted : ExitCode::failed, what,
                               denied ? "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
                                      : "loopwatch doctor tells what is missing");
    if (!last_complaint.empty() && !denied)
        failure.what += fmt::format(" ({})", last_complaint.substr(0, last_complaint.find('\n')));
    return failure;
}

std::uint64_t sum_over_cpus(int map, std::uint32_t key)
{
    std::vector<std::uint64_t> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    if (bpf_map_lookup_elem(map, &key, values.data()) != 0) return 0;
    std::uint64_t sum = 0;
    for (const auto value : values) sum += value;
    return sum;
}

// As the kernel charges it, in the map's fdinfo.
std::uint64_t bytes_of(const bpf_map* map)
{
    std::ifstream info(fmt::format("/proc/self/fdinfo/{}", bpf_map__fd(map)));
    for (std::string word; info >> word;)
        if (std::uint64_t bytes = 0; word == "memlock:" && info >> bytes) return bytes;
    return 0;
}

}  // namespace

struct Kernel::Parts {
    loopwatch_bpf* skeleton = nullptr;
    std::vector<bpf_link*> links;
    ring_buffer* ring = nullptr;
    std::span<lw_batch> batches;  // shared with the kernel
    // Open while calibrating. To switch them on and off waits for all CPUs, 15 to 35 ms: not on the thread that looks
    // for overdue dispatches.
    std::future<Fd> statistics;
    std::jthread ending_statistics;
    std::optional<LoopTable> table;
    std::optional<UnprobedLoops> unprobed;
    std::array<std::uint64_t, LW_RUN_COUNT> cost_ns = typical_cost_ns;
    std::array<std::uint64_t, LW_RUN_COUNT> measuring_runs = {};  // 640 hits of measure_traps(), which cost no target
    std::set<pid_t> admitted;
    std::uint64_t map_bytes = 0;
    std::size_t expected_children = 0;

    // What drain() works for.
    const std::function<void(const Event&)>* handle = nullptr;
    std::size_t budget = 0;
    std::uint64_t undecodable = 0, drained_bytes = 0;

    ~Parts()
    {
        unprobed.reset();
        if (!batches.empty()) ::munmap(batches.data(), batches.size_bytes());
        ring_buffer__free(ring);
        for (auto* link : links) bpf_link__destroy(link);
        loopwatch_bpf__destroy(skeleton);
    }

    static int on_record(void* context, void* data, std::size_t size)
    {
        auto& parts = *static_cast<Parts*>(context);
        const auto events = decode({static_cast<const std::uint8_t*>(data), size}, *parts.handle);
        if (events == 0) ++parts.undecodable;
        parts.drained_bytes += size;
        parts.budget -= std::min(parts.budget, std::max<std::size_t>(1, events));
        return parts.budget == 0 ? -EAGAIN : 0;
    }
};

Kernel::Kernel() : parts_(std::make_unique<Parts>())
{
}
Kernel::~Kernel() = default;

Result<std::unique_ptr<Kernel>> Kernel::open(const KernelOptions& options)
{
    last_complaint.clear();
    libbpf_set_print(keep_complaint);
    std::unique_ptr<Kernel> kernel(new Kernel);
    auto& parts = *kernel->parts_;
    kernel->rung_ = options.rung;
    parts.skeleton = loopwatch_bpf__open();
    if (!parts.skeleton) return load_error("opening the BPF programs", errno);

    parts.skeleton->rodata->cfg_threshold_ns = options.least.slow_ns;
    parts.skeleton->rodata->cfg_block_threshold_ns = options.least.block_ns;
    parts.skeleton->rodata->cfg_filter_pids = options.rung == AttachRung::perf_all;
    parts.skeleton->rodata->cfg_kernel_stacks = options.kernel_stacks;
    auto& paths = parts.skeleton->rodata->cfg_path_argument;
    for (std::size_t syscall = 0; options.path_argument && syscall < std::size(paths); ++syscall)
        paths[syscall] = options.path_argument(syscall);
    parts.skeleton->rodata->cfg_follow = options.follow_children || options.report_children;
    parts.skeleton->rodata->cfg_all_execs = options.all_execs;
    parts.skeleton->rodata->cfg_trace = options.trace;
    auto& name = parts.skeleton->rodata->cfg_name;
    options.name.copy(name, std::size(name) - 1);
    parts.skeleton->rodata->cfg_max_loops = options.max_loops;
    auto& maps = parts.skeleton->maps;
    bpf_map__set_max_entries(maps.loops, options.max_loops);
    bpf_map__set_max_entries(maps.free_buffers, options.max_loops);
    // Of 256 loops each may be blocked in as many places as are kept, and 64 may have more to report.
    const auto stacks = options.max_stacks ? options.max_stacks : std::min(options.max_loops, 256u) * LW_SOURCES + 64;
    parts.skeleton->rodata->cfg_max_stacks = stacks;
    bpf_map__set_max_entries(maps.records, options.max_loops);
    bpf_map__set_max_entries(maps.stacks, stacks);
    bpf_map__set_max_entries(maps.free_stacks, stacks);
    bpf_map__set_max_entries(maps.unprobed, options.max_loops);
    bpf_map__set_max_entries(maps.questions, static_cast<std::uint32_t>(libbpf_num_possible_cpus()));
    bpf_map__set_max_entries(maps.batches, options.trace ? options.max_loops : 1);
    if (!options.debug) bpf_map__set_max_entries(maps.thrown, 1);
    auto& programs = parts.skeleton->progs;
    bpf_program__set_autoload(programs.on_throw, options.debug);
    const bool forks = options.follow_children || options.report_children || !options.name.empty();
    bpf_program__set_autoload(programs.on_sched_process_fork, forks);
    bpf_program__set_autoload(programs.on_resume, options.coroutines);
    for (auto* program : {programs.on_probe, programs.on_trace_probe, programs.on_resume, programs.on_throw})
        prepare(program, options.rung);
    if (const int error = loopwatch_bpf__load(parts.skeleton)) return load_error("loading the BPF programs", error);

    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, parts.skeleton->obj) parts.map_bytes += bytes_of(map);
    for (std::uint32_t buffer = 0; buffer < options.max_loops; ++buffer)
        bpf_map_update_elem(bpf_map__fd(maps.free_buffers), nullptr, &buffer, BPF_ANY);
    for (std::uint32_t stack = 0; stack < stacks; ++stack)
        bpf_map_update_elem(bpf_map__fd(maps.free_stacks), nullptr, &stack, BPF_ANY);
    std::vector<bpf_program*> scheduling = {programs.on_sched_switch, programs.on_sched_waking,
                                            programs.on_sched_process_exit, programs.on_sched_process_exec};
    if (forks) scheduling.push_back(programs.on_sched_process_fork);
    for (auto* program : scheduling) {
        bpf_link* link = bpf_program__attach(program);
        if (!link) return load_error("attaching to the scheduler's tracepoints", errno);
        parts.links.push_back(link);
    }
    if (options.trace) {
        void* const memory = ::mmap(nullptr, options.max_loops * sizeof(lw_batch), PROT_READ | PROT_WRITE, MAP_SHARED,
                                    bpf_map__fd(maps.batches), 0);
        if (memory == MAP_FAILED) return load_error("mapping the batches of traced steps", errno);
        parts.batches = {static_cast<lw_batch*>(memory), options.max_loops};
    }
    if (options.trace || options.coroutines || options.debug)
        kernel->trap_cost_ = measure_traps(options.trace        ? programs.on_trace_probe
                                           : options.coroutines ? programs.on_resume
                                                                : programs.on_throw,
                                           options.rung);
    for (std::uint32_t program = 0; program < LW_RUN_COUNT; ++program)
        parts.measuring_runs[program] = sum_over_cpus(bpf_map__fd(maps.runs), program);
    parts.table.emplace(*parts.skeleton);
    if (options.follow_children) parts.expected_children = 4;
    parts.unprobed.emplace(*parts.skeleton, *parts.table);
    parts.ring = ring_buffer__new(bpf_map__fd(maps.events), Parts::on_record, &parts, nullptr);
    if (!parts.ring) return load_error("opening the ring buffer", errno);
    return kernel;
}

Result<void> Kernel::admit(pid_t pid, const Thresholds& thresholds)
{
    const auto key = static_cast<std::uint32_t>(pid);
    const lw_target target = {thresholds.slow_ns, thresholds.block_ns, 0, 0};
    if (bpf_map_update_elem(bpf_map__fd(parts_->skeleton->maps.targets), &key, &target, BPF_ANY) != 0)
        return errno_error(ExitCode::failed, "admitting a process", "at most 1024 processes can be watched at once");
    parts_->admitted.insert(pid);
    parts_->table->share_among(parts_->admitted.size() + parts_->expected_children);
    return {};
}

void Kernel::dismiss(pid_t pid)
{
    const auto key = static_cast<std::uint32_t>(pid);
    bpf_map_delete_elem(bpf_map__fd(parts_->skeleton->maps.targets), &key);
    parts_->admitted.erase(pid);
    parts_->table->share_among(parts_->admitted.size() + parts_->expected_children);
    parts_->unprobed->dismiss(pid);
    parts_->table->dismiss(key);
}

Result<std::vector<Link>> Kernel::attach_sites(ProbeGate gate, pid_t pid, int file,
                                               const std::vector<CheckedSite>& sites)
{
    const auto& programs = parts_->skeleton->progs;
    std::vector<AttachPoint> points;
    for (const auto& site : sites) points.push_back({site.offset, site.semaphore_offset, site.probe});
    return attach(gate == ProbeGate::trace ? programs.on_trace_probe : programs.on_probe, rung_, pid, file, points);
}

Result<std::vector<Link>> Kernel::attach_coroutines(pid_t pid, int file, const std::vector<CoroutineBody>& bodies)
{
    std::vector<AttachPoint> points;
    for (const auto& body : bodies) points.push_back({body.offset, 0, body.stepped});
    return attach(parts_->skeleton->progs.on_resume, rung_, pid, file, points);
}

Result<std::vector<Link>> Kernel::attach_throw(pid_t pid, int file, std::uint64_t offset)
{
    return attach(parts_->skeleton->progs.on_throw, rung_, pid, file, {{offset, 0, 0}});
}

void Kernel::enter_loop(pid_t pid, std::uint32_t tid, std::uint64_t slot, std::uint64_t loop_id)
{
    lw_loop entry = {};
    entry.slot = slot;
    entry.loop_id = loop_id;
    entry.pid = static_cast<std::uint32_t>(pid);
    (void)parts_->table->enter(tid, entry);
}

void Kernel::count_untracked()
{
    parts_->table->count_loss(LW_LOSS_loops_untracked);
}

UnprobedLoops& Kernel::unprobed()
{
    return *parts_->unprobed;
}

std::optional<OngoingDispatch> Kernel::ongoing(std::uint32_t tid) const
{
    const int loops = bpf_map__fd(parts_->skeleton->maps.loops), stacks = bpf_map__fd(parts_->skeleton->maps.stacks);
    const auto buffer = std::make_unique<lw_buffer>();
    for (int attempt = 0; attempt < 4; ++attempt) {
        lw_loop loop = {};
        if (bpf_map_lookup_elem(loops, &tid, &loop) != 0) return std::nullopt;
        auto found = ongoing_dispatch(loop);
        for (std::uint32_t place = 0; place < std::min<std::uint32_t>(loop.places, LW_SOURCES); ++place) {
            const std::uint32_t key = loop.stacks[place] - 1;
            if (bpf_map_lookup_elem(stacks, &key, buffer.get()) != 0) return std::nullopt;
            const auto bytes = std::min<std::uint32_t>(buffer->source.stack.bytes, LW_STACK_BYTES);
            const auto* stack = buffer->raw + sizeof(lw_source);
            auto& source = found.places.emplace_back(source_event(buffer->source, {stack, bytes}));
            source.head.pid = loop.pid;
            source.head.tid = tid;
        }
        lw_loop again = {};
        if (bpf_map_lookup_elem(loops, &tid, &again) != 0) return std::nullopt;
        if (std::memcmp(&again, &loop, sizeof again) == 0) return found;
    }
    return std::nullopt;
}

Result<Fd> Kernel::sample(std::uint32_t tid, std::uint64_t period_ns)
{
    perf_event_attr attr = {};
    attr.type = PERF_TYPE_SOFTWARE;
    attr.size = sizeof attr;
    attr.config = PERF_COUNT_SW_CPU_CLOCK;
    attr.sample_period = period_ns;
    attr.disabled = 1;
    Fd event(static_cast<int>(::syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC)));
    if (!event) return errno_error(ExitCode::failed, "opening a cpu-clock event");
    if (::ioctl(event.raw(), PERF_EVENT_IOC_SET_BPF, bpf_program__fd(parts_->skeleton->progs.on_cpu_sample)) != 0 ||
        ::ioctl(event.raw(), PERF_EVENT_IOC_ENABLE, 0) != 0)
        return errno_error(ExitCode::failed, "starting a cpu-clock event");
    return event;
}

int Kernel::ring_descriptor() const
{
    return ring_buffer__epoll_fd(parts_->ring);
}

bool Kernel::drain(std::size_t budget, const std::function<void(const Event&)>& handle)
{
    parts_->handle = &handle;
    parts_->budget = budget;
    return ring_buffer__consume(parts_->ring) == -EAGAIN;
}

std::uint64_t Kernel::drained_bytes() const
{
    return parts_->drained_bytes;
}

std::uint64_t Kernel::ring_bytes() const
{
    return bpf_map__max_entries(parts_->skeleton->maps.events);
}

void Kernel::drain_batches(const std::function<void(const Event&)>& handle)
{
    for (auto& batch : parts_->batches) {
        // A loop going to sleep sends its batch itself: whoever takes `used` has it.
        const auto used = std::atomic_ref(batch.used).exchange(0);
        if (used == 0 || used > LW_BATCH_BYTES) continue;
        batch.event.size = sizeof batch.event + used;
        decode({reinterpret_cast<const std::uint8_t*>(&batch), batch.event.size}, handle);
    }
}

void Kernel::set_watchdog_asleep(bool asleep)
{
    parts_->skeleton->bss->watchdog_asleep = asleep;
}

std::map<std::string, std::uint64_t> Kernel::losses() const
{
    static constexpr const char* names[] = {
#define X(name, doc) #name,
        LW_LOSSES(X)
#undef X
    };
    std::map<std::string, std::uint64_t> losses;
    for (std::uint32_t loss = 0; loss < LW_LOSS_COUNT; ++loss)
        losses[names[loss]] = sum_over_cpus(bpf_map__fd(parts_->skeleton->maps.losses), loss);
    losses["record_undecodable"] = parts_->undecodable;
    std::uint64_t missed = 0;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, parts_->skeleton->obj)
    {
        bpf_prog_info info = {};
        std::uint32_t size = sizeof info;
        if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0) missed += info.recursion_misses;
    }
    losses["program_missed"] = missed;
    return losses;
}

Kernel::Cost Kernel::cost() const
{
    Cost cost;
    cost.map_bytes = parts_->map_bytes;
    for (std::uint32_t program = 0; program < LW_RUN_COUNT; ++program) {
        const auto runs =
            sum_over_cpus(bpf_map__fd(parts_->skeleton->maps.runs), program) - parts_->measuring_runs[program];
        cost.runs += runs;
        cost.ns += runs * parts_->cost_ns[program];
        if (program == LW_RUN_trace_probe) cost.traps_of(Frequent::trace) = runs * trap_cost_.simple_ns;
        if (program == LW_RUN_throw) cost.traps_of(Frequent::throws) = runs * trap_cost_.simple_ns;
        if (program == LW_RUN_resume) cost.traps_of(Frequent::coroutines) += runs * trap_cost_.simple_ns;
        if (program == LW_RUN_resume_stepped) cost.traps_of(Frequent::coroutines) += runs * trap_cost_.stepped_ns;
    }
    return cost;
}

void Kernel::start_calibration()
{
    parts_->statistics = std::async(std::launch::async, [] { return Fd(bpf_enable_stats(BPF_STATS_RUN_TIME)); });
}

void Kernel::finish_calibration()
{
    if (!parts_->statistics.valid()) return;
    auto statistics = parts_->statistics.get();
    auto& programs = parts_->skeleton->progs;
    const auto average = [](bpf_program* program, std::uint64_t otherwise) -> std::uint64_t {
        bpf_prog_info info = {};
        std::uint32_t size = sizeof info;
        if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0 || info.run_cnt < 10) return otherwise;
        return info.run_time_ns / info.run_cnt;
    };
    // The statistics cannot tell a switch that concerned a loop from another; the mean is right for both together.
    const auto switching = average(programs.on_sched_switch, typical_cost_ns[LW_RUN_switch_other]);
    parts_->cost_ns[LW_RUN_switch_other] = parts_->cost_ns[LW_RUN_switch_loop] = switching;
    parts_->cost_ns[LW_RUN_waking] = average(programs.on_sched_waking, typical_cost_ns[LW_RUN_waking]);
    parts_->cost_ns[LW_RUN_slow_probe] = average(programs.on_probe, typical_cost_ns[LW_RUN_slow_probe]);
    parts_->cost_ns[LW_RUN_trace_probe] = average(programs.on_trace_probe, typical_cost_ns[LW_RUN_trace_probe]);
    const auto resumes = average(programs.on_resume, typical_cost_ns[LW_RUN_resume]);
    parts_->cost_ns[LW_RUN_resume] = parts_->cost_ns[LW_RUN_resume_stepped] = resumes;
    const auto waits = average(programs.on_wait, typical_cost_ns[LW_RUN_wait]);
    parts_->cost_ns[LW_RUN_wait] = parts_->cost_ns[LW_RUN_wait_other] = waits;
    parts_->ending_statistics = std::jthread([statistics = std::move(statistics)] {});
}

}  // namespace loopwatch
