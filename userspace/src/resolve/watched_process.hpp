// SPDX-License-Identifier: Apache-2.0
//
// WatchedProcess: a target as records speak of it: its names, its memory, what is to be warned of.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "analysis/finding.hpp"
#include "target/image_names.hpp"
#include "target/loops.hpp"
#include "target/module_mapping.hpp"
#include "target/perf_map_file.hpp"
#include "target/process.hpp"

namespace loopwatch {

class WatchedProcess {
public:
    explicit WatchedProcess(Process process);
    virtual ~WatchedProcess() = default;
    WatchedProcess(const WatchedProcess&) = delete;
    WatchedProcess& operator=(const WatchedProcess&) = delete;

    // Its loops: by thread and id, and the one that a thread began last; null: there is none.
    virtual const LoopView* find_loop(std::uint32_t tid, std::uint64_t loop_id) const = 0;
    virtual const LoopView* loop_of(std::uint32_t tid) const = 0;

    const Process& process() const noexcept { return process_; }
    std::string exe() const { return names_ ? names_->exe : process_.exe(); }
    std::vector<std::string> cmdline() const { return names_ ? names_->cmdline : process_.cmdline(); }
    Loops& loops() noexcept { return loops_; }
    const std::string& build_id() const noexcept { return build_id_; }
    const std::vector<std::string>& warnings() const noexcept { return warnings_; }
    // Those since the last call. The first one is of target_start, which has all until then.
    std::vector<std::string> take_new_warnings();
    WarningAbout about(const std::string& warning) const;
    // Warns of an interpreter that writes no names of the functions it runs. Some do from their start on, but not at
    // once: to be asked when the process has run for a while.
    void check_names();
    bool start_reported() const noexcept { return start_reported_; }
    Subject whole() const { return {pid(), 0, ns_pid_, 0, comm_}; }
    std::uint32_t pid() const noexcept { return static_cast<std::uint32_t>(process_.pid()); }
    std::uint32_t ns_pid() const noexcept { return ns_pid_; }
    const std::string& comm() const noexcept { return comm_; }
    // A thread as records name it; looked up once an interval, since threads rename themselves.
    const Subject& subject(std::uint32_t tid);

protected:
    // It goes by these, whatever it executes.
    void keep_names(ImageNames names);
    // What /proc says is another image's.
    void set_replaced() noexcept { replaced_ = true; }
    bool is_replaced() const noexcept { return replaced_; }
    void forget_subjects() { subjects_.clear(); }
    void warn(std::string warning, WarningAbout about = WarningAbout::sight);
    // The file of names of code that was generated at run time, which is looked at before it is trusted.
    Fd take_names(PerfMapFile perf_map);
    bool has_perf_map() const noexcept { return perf_map_; }
    void set_interpreter(const std::vector<ModuleMapping>& modules);

    Process process_;
    Loops loops_;
    std::string build_id_;

private:
    std::uint32_t ns_pid_ = 0;
    std::string comm_;
    std::optional<ImageNames> names_;  // none: those of the moment
    bool replaced_ = false;
    std::unordered_map<std::uint32_t, Subject> subjects_;
    std::vector<std::string> warnings_;
    std::map<std::string, WarningAbout> about_;  // those that are not about what is seen
    std::size_t warnings_taken_ = 0;
    bool perf_map_ = false;      // it has one
    std::string missing_names_;  // what to say if it has none
    bool start_reported_ = false;
};

}  // namespace loopwatch
