// SPDX-License-Identifier: Apache-2.0
//
// DaemonService: a session that is always on. open() everything that can fail → run() until SIGTERM. Targets come by
// rules, findings go to the journal, each second the budget is measured, clients are answered on a socket.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "command/config_options.hpp"
#include "command/kernel_session.hpp"
#include "daemon/budget.hpp"
#include "daemon/canary.hpp"
#include "daemon/control_socket.hpp"
#include "daemon/finding_watch.hpp"
#include "daemon/flight_recorder.hpp"
#include "daemon/journal_sink.hpp"
#include "daemon/notify.hpp"
#include "daemon/rule_selection.hpp"
#include "daemon/target_suppressions.hpp"
#include "output/exemplars.hpp"
#include "report/hub.hpp"

namespace loopwatch {

struct CanaryTimes {
    std::uint64_t first_ns = 2'000'000'000, period_ns = 300'000'000'000;
};

class DaemonService {
public:
    // `options`: by which `loaded` was made, for a reload.
    static Result<std::unique_ptr<DaemonService>> open(const ConfigOptions& options, LoadedConfig loaded,
                                                       CanaryTimes canary);
    ~DaemonService();

    Result<ExitCode> run();

private:
    DaemonService(const ConfigOptions& options, LoadedConfig loaded, Canary canary);
    std::shared_ptr<Exemplars> make_exemplars();
    Result<void> open_outputs();
    Result<void> open_session();
    Result<void> open_control();
    SessionOptions session_options();
    nlohmann::json answer(const std::string& command, const nlohmann::json& arguments);
    nlohmann::json status() const;
    nlohmann::json targets() const;
    nlohmann::json reload();
    nlohmann::json dump() const;
    std::string why_unhealthy() const;
    std::uint64_t keep_house(std::uint64_t now_ns);
    void measure(std::uint64_t now_ns);
    void act_on(Effort effort, Effort before, std::uint64_t now_ns);
    void keep_dump(std::uint32_t keep, std::uint64_t now_ns);
    std::uint64_t used_cpu_ns() const;

    ConfigOptions config_options_;
    LoadedConfig loaded_;
    Canary canary_;
    std::uint64_t started_ns_;
    Notify notify_;
    bool has_default_file_;  // it was read, as none was named
    std::shared_ptr<RuleSelection> selection_;
    TargetSuppressions suppressions_;
    LabelledEncoder::LabelsOf labels_of_;
    LabelledEncoder encoder_;  // of the journal
    std::optional<JournalWriter> journal_;
    std::vector<std::shared_ptr<Exemplars>> exemplars_;  // one an output
    // The hub's.
    CanarySink* canary_sink_ = nullptr;
    FlightRecorder* recorder_ = nullptr;
    FindingWatch* findings_ = nullptr;
    Hub hub_;
    std::optional<KernelSession> session_;
    std::optional<ControlSocket> control_;
    Budget budget_;
    std::future<Result<std::string>> dumping_;
    std::string last_dump_;  // its path, or why there is none
    std::uint64_t next_second_ns_ = 0, next_sign_ns_ = 0, next_prune_ns_ = 0, dumped_ns_ = 0;
    bool ready_ = false;
};

}  // namespace loopwatch
