// SPDX-License-Identifier: Apache-2.0
#include "command/daemon_service.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "command/preflight.hpp"
#include "output/line_sink.hpp"
#include "util/beside.hpp"
#include "util/detached.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t ready_within_ns = 10 * second_ns;    // with a canary that was not found: ready, and unhealthy
constexpr std::uint64_t between_dumps_ns = 600 * second_ns;  // that rules ask for
constexpr std::uint64_t worker_idle_ns = 60 * second_ns;
constexpr std::uint32_t rationed_stacks = 5;  // a second, of those that are not known

std::string host_name()
{
    utsname name = {};
    return ::uname(&name) == 0 ? name.nodename : "";
}

ExemplarLimits exemplar_limits(const LimitSettings& limits)
{
    return {limits.fingerprint_interval_ns, limits.findings_rate, limits.findings_burst, limits.fingerprints};
}

BudgetLimits budget_limits(const LimitSettings& limits)
{
    BudgetLimits of_budget;
    of_budget.cpu_share = limits.cpu_percent / 100;
    return of_budget;
}

SinkOptions before_limits()
{
    return {false, nullptr};
}

}  // namespace

DaemonService::DaemonService(const ConfigOptions& options, LoadedConfig loaded, Canary canary)
    : config_options_(options),
      loaded_(std::move(loaded)),
      canary_(std::move(canary)),
      started_ns_(monotonic_ns()),
      notify_(Notify::open()),
      has_default_file_(options.file.empty() && ::access(default_config_file, F_OK) == 0),
      selection_(std::make_shared<RuleSelection>(loaded_.config)),
      suppressions_([selection = selection_](std::uint32_t pid) { return selection->rule_of(pid); }),
      labels_of_([selection = selection_](std::uint32_t pid) { return selection->labels_of(pid); }),
      encoder_(labels_of_, static_cast<std::uint32_t>(canary_.pid())),
      budget_(budget_limits(loaded_.config.limits))
{
    selection_->always(canary_.pid(), Canary::thresholds);
}

DaemonService::~DaemonService() = default;

Result<std::unique_ptr<DaemonService>> DaemonService::open(const ConfigOptions& options, LoadedConfig loaded,
                                                           CanaryTimes times)
{
    if (auto machine = preflight(); !machine) return machine.error();
    // Forked before there are threads.
    auto canary = Canary::start(times.first_ns, times.period_ns);
    if (!canary) return canary.error();
    std::unique_ptr<DaemonService> service(new DaemonService(options, std::move(loaded), std::move(*canary)));
    if (service->loaded_.config.targets.empty())
        print_warning("the configuration has no [[target]]: nothing is watched");
    // In this order: the zygote of the session's worker is to inherit no lock of the journal, which a SIGKILL of ours
    // would leave to it for a moment.
    if (auto opened = service->open_session(); !opened) return opened.error();
    if (auto opened = service->open_outputs(); !opened) return opened.error();
    if (auto opened = service->open_control(); !opened) return opened.error();
    return service;
}

// Of one output: what another one has admitted is none of its business.
std::shared_ptr<Exemplars> DaemonService::make_exemplars()
{
    // Of each build of a service: what a deploy has changed is seen.
    const auto service_of = [this](std::uint32_t pid) {
        const auto labels = selection_->labels_of(pid);
        return labels ? labels->service + ' ' + labels->version + ' ' + findings_->build_of(pid) : std::string();
    };
    return exemplars_.emplace_back(std::make_shared<Exemplars>(exemplar_limits(loaded_.config.limits), service_of));
}

Result<void> DaemonService::open_outputs()
{
    const auto& config = loaded_.config;
    JournalOptions options;
    options.state = config.paths.state;
    options.version = LOOPWATCH_VERSION;
    options.host = host_name();
    options.total_bytes = config.limits.journal_bytes;
    options.max_age_ns = config.limits.journal_age_ns;
    options.on_segment = [this] { encoder_.forget_stacks(); };
    auto journal = JournalWriter::open(std::move(options));
    if (!journal) return journal.error();
    journal_.emplace(std::move(*journal));
    hub_.add("journal", std::make_unique<JournalSink>(*journal_, encoder_), {true, make_exemplars()});
    const auto add = [this](std::string name, auto sink) {
        auto* const raw = sink.get();
        hub_.add(std::move(name), std::move(sink), before_limits());
        return raw;
    };
    const auto canary = static_cast<std::uint32_t>(canary_.pid());
    canary_sink_ = add("canary", std::make_unique<CanarySink>(canary_, started_ns_));
    recorder_ = add("flight recorder", std::make_unique<FlightRecorder>(labels_of_, canary));
    findings_ = add("findings", std::make_unique<FindingWatch>(canary));
    findings_->set_rules(config.dumps);
    for (const auto& sink : config.sinks) {
        auto output = Output::open(std::string(sink.option("path")));
        if (!output) return output.error();
        hub_.add(std::string(sink.option("path")),
                 std::make_unique<LineSink>(std::move(*output), std::make_unique<LabelledEncoder>(labels_of_, canary)),
                 {false, make_exemplars()});
    }
    return {};
}

SessionOptions DaemonService::session_options()
{
    const auto& config = loaded_.config;
    SessionOptions options;
    options.thresholds = {config.defaults.threshold_ns, config.defaults.block_threshold_ns};
    const auto least = least_thresholds(config);
    options.least = {std::min(least.slow_ns, Canary::thresholds.slow_ns),
                     std::min(least.block_ns, Canary::thresholds.block_ns)};
    options.max_loops = config.limits.loops;
    options.interval_ns = config.defaults.interval_ns;
    options.kernel_stacks = config.defaults.kernel_stacks;
    options.coroutines = config.defaults.coroutines || std::ranges::any_of(config.targets, [](const auto& rule) {
                             return rule.coroutines.value_or(false);
                         });
    options.follow_children = true;
    options.selection = selection_;
    options.on_hangup = [this] { (void)reload(); };
    options.housekeeping = [this](std::uint64_t now_ns) { return keep_house(now_ns); };
    return options;
}

Result<void> DaemonService::open_session()
{
    auto session = KernelSession::open(session_options(), hub_);
    if (!session) return session.error();
    session_.emplace(std::move(*session));
    auto& worker = session_->session->worker();
    selection_->parse_contexts_by([&worker](std::uint32_t pid, std::span<const std::byte> payload, auto done) {
        worker.parse_context(pid, payload, std::move(done));
    });
    suppressions_.read(loaded_.config, today());
    session_->session->gate().also_allows = [this](const FindingView& finding) {
        return suppressions_.allows(finding);
    };
    return {};
}

Result<void> DaemonService::open_control()
{
    auto control = ControlSocket::open(
        loaded_.config.paths.run + "/control.sock", session_->session->engine().reactor(),
        [this](const std::string& command, const nlohmann::json& arguments) { return answer(command, arguments); });
    if (!control) return control.error();
    control_.emplace(std::move(*control));
    return {};
}

Result<ExitCode> DaemonService::run()
{
    session_->begin(CoreWork::daemon);
    const auto code = session_->session->run();
    notify_.stopping();
    return code;
}

nlohmann::json DaemonService::answer(const std::string& command, const nlohmann::json&)
{
    if (command == "status") return status();
    if (command == "targets") return targets();
    if (command == "reload") return reload();
    if (command == "dump") return dump();
    return {{"error", fmt::format("there is no command \"{}\"", command)}, {"hint", "status, targets, reload or dump"}};
}

std::uint64_t DaemonService::keep_house(std::uint64_t now_ns)
{
    if (now_ns < next_second_ns_) return next_second_ns_;
    next_second_ns_ = now_ns + second_ns;
    measure(now_ns);
    const bool found = canary_sink_->found() != 0;
    if (!ready_ && (found || now_ns >= started_ns_ + ready_within_ns)) {
        ready_ = true;
        notify_.ready(found ? "watching" : why_unhealthy());
    }
    if (const auto patience = Notify::watchdog_interval(); patience && now_ns >= next_sign_ns_) {
        notify_.watchdog();
        next_sign_ns_ = now_ns + static_cast<std::uint64_t>(patience->count()) / 2;
    }
    session_->session->worker().end_if_idle(worker_idle_ns);
    if (now_ns >= next_prune_ns_) {
        selection_->prune([this](std::uint32_t pid) { return session_->session->engine().find(pid) != nullptr; });
        next_prune_ns_ = now_ns + 60 * second_ns;
    }
    if (const auto keep = findings_->take_dump()) keep_dump(*keep, now_ns);
    if (dumping_.valid() && is_ready(dumping_)) {
        const auto written = dumping_.get();
        last_dump_ = written ? *written : written.error().what;
        if (!written) print_warning("dump: " + written.error().what);
    }
    return next_second_ns_;
}

// CPU time of our processes, those that have ended included, of our programs in the kernel, and of traps.
std::uint64_t DaemonService::used_cpu_ns() const
{
    const auto ns_of = [](int who) {
        rusage usage = {};
        ::getrusage(who, &usage);
        const auto ns = [](const timeval& time) {
            return static_cast<std::uint64_t>(time.tv_sec) * second_ns +
                   static_cast<std::uint64_t>(time.tv_usec) * 1000;
        };
        return ns(usage.ru_utime) + ns(usage.ru_stime);
    };
    std::uint64_t used = ns_of(RUSAGE_SELF) + ns_of(RUSAGE_CHILDREN);
    clockid_t clock = 0;
    timespec ran = {};
    const pid_t worker = session_->session->worker().pid();
    if (worker > 0 && ::clock_getcpuclockid(worker, &clock) == 0 && ::clock_gettime(clock, &ran) == 0)
        used += static_cast<std::uint64_t>(ran.tv_sec) * second_ns + static_cast<std::uint64_t>(ran.tv_nsec);
    const auto overhead = session_->source->overhead();
    return used + overhead.bpf_ns.value_or(0) + session_->source->traps_ns();
}

void DaemonService::measure(std::uint64_t now_ns)
{
    const auto before = budget_.effort();
    if (!budget_.measure(now_ns, used_cpu_ns(), session_->source->is_attaching())) return;
    const auto effort = budget_.effort();
    session_->session->engine().warn(
        fmt::format(
            "{:.2f} % of a CPU over the last minute, {:.2f} % at present, of {:g} %: the effort is \"{}\" from here on",
            100 * budget_.used_share(), 100 * budget_.recent_share(), 100 * budget_.cpu_share(), effort_name(effort)),
        effort > before ? "raise limits.cpu, or watch fewer processes" : "");
    act_on(effort, before, now_ns);
}

void DaemonService::act_on(Effort effort, Effort before, std::uint64_t now_ns)
{
    for (const auto& exemplars : exemplars_)
        exemplars->thin_to(effort == Effort::all ? 1 : effort < Effort::sums_only ? 0.25 : 0);
    recorder_->record(effort == Effort::all);
    std::optional<std::uint32_t> ration;
    if (effort >= Effort::known_stacks) ration = effort == Effort::known_stacks ? rationed_stacks : 0;
    session_->session->worker().ration(ration);
    if (effort == Effort::fewer_targets) {
        const auto pid = findings_->take_busiest();
        if (pid == 0) return;
        selection_->refuse(static_cast<pid_t>(pid));
        session_->session->engine().warn(fmt::format("process {} is not watched any more: it costs the most", pid));
    } else if (before == Effort::fewer_targets) {
        selection_->refuse_none();
    } else {
        return;
    }
    session_->source->select_anew(now_ns);
}

void DaemonService::keep_dump(std::uint32_t keep, std::uint64_t now_ns)
{
    if (dumping_.valid() || (dumped_ns_ != 0 && now_ns < dumped_ns_ + between_dumps_ns)) return;
    dumped_ns_ = now_ns;
    dumping_ = run_detached([lines = recorder_->dump(), folder = loaded_.config.paths.state + "/dumps", keep] {
        return write_dump(folder, "rule", lines, keep);
    });
}

}  // namespace loopwatch
