// SPDX-License-Identifier: Apache-2.0
//
// SymbolClient: the core's half of the symbol worker. Starts it (again), keeps what it must be told anew, bounds what
// waits for it, and checks its answers.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <tuple>

#include "stack/channel.hpp"
#include "stack/process_image.hpp"
#include "stack/symbol_worker.hpp"
#include "stack/texts.hpp"
#include "util/recent_cache.hpp"

namespace loopwatch {

class SymbolClient final : public SymbolWorker {
public:
    // Fails when memory for the shared word or descriptors run out.
    static Result<std::unique_ptr<SymbolClient>> open();
    ~SymbolClient() override;

    Result<ModuleScan> scan(int elf, ScanOptions options) override;
    void scan_ahead(int elf, ScanOptions options, Done done) override;
    bool has_scanned(int elf, ScanOptions options) override;
    Result<void> map_process(std::uint32_t pid, std::vector<ModuleMapping> modules, Fd perf_map) override;
    void unwind(CapturedStack stack, Done done) override;
    void symbolize(std::uint32_t pid, std::vector<std::uint64_t> addresses, Done done) override;
    void demangle_type(std::uint32_t pid, std::string name, Done done) override;
    int descriptor() const override { return events_.raw(); }
    void poll() override;
    std::size_t pending() const override { return requests_.size() + finished_.size(); }
    std::uint64_t asked() const override { return next_id_ - 1; }
    bool answered(std::uint64_t asked) const override
    {
        return finished_.empty() && (requests_.empty() || requests_.front().id > asked);
    }
    void give_up() override;
    void stand_back() override { set_nice(10); }
    void hurry() override { set_nice(0); }
    pid_t pid() const override { return worker_; }
    std::uint64_t failures() const override { return failures_; }

private:
    using Clock = std::chrono::steady_clock;
    struct Answer {
        Done done;
        std::vector<Frame> frames;
    };
    static constexpr std::size_t max_scan_bytes = 8u << 20;  // 0.2 KiB a file without probes
    // Device and inode; and size and time of change, for what is cached of its contents.
    using FileName = std::pair<std::uint64_t, std::uint64_t>;
    using FileKey = std::tuple<FileName, std::int64_t, std::int64_t, std::int64_t>;
    using ScanKey = std::pair<FileKey, bool>;  // with coroutines?
    struct Request {
        std::uint64_t id = 0;
        std::uint32_t pid = 0;
        std::vector<std::uint64_t> addresses;  // what is shown if no answer comes
        Done done;                             // of a scan: may be empty
        std::optional<ScanKey> scan = {};
    };
    // Kept while a process maps it, with one descriptor for all who do.
    struct File {
        std::uint32_t id = 0;
        unsigned users = 0;
        Fd descriptor;
    };
    using Files = std::map<FileKey, File>;

    struct Code {
        std::vector<ModuleMapping> modules;  // without their files, which are in
        std::vector<Files::iterator> files;  // of each module; end(): there was no room for it
        Files::iterator perf_map;
    };

    SymbolClient(Fd events, Fd timer, Progress* progress);
    Result<void> ensure_worker();
    void send_code(std::uint32_t pid, const Code& code);
    void send_module(std::uint32_t pid, const ModuleMapping& module, Files::const_iterator file);
    bool send(nlohmann::json body, std::vector<std::uint8_t> raw = {}, int file = -1);
    void enqueue(Request request);
    void begin_request();
    void show_life(Clock::time_point now);
    bool stuck();
    void set_nice(int more);
    std::chrono::nanoseconds starved() const;
    void ask(Request request, nlohmann::json body, std::vector<std::uint8_t> raw);
    void pump();
    bool accept(Message& message);
    bool answer_need(const nlohmann::json& body);
    void worker_lost();
    void end_worker();
    void fail(Request& request);
    void fail_all();
    void watch();
    Result<void> ask_for_scan(int elf, const File& file, const ScanKey& key, Done done);
    bool awaits_scan(const ScanKey& key) const;
    void keep_scan(const ScanKey& key, Result<ModuleScan> scan);
    void answer_scan(Request& request, Result<ModuleScan> scan);
    Files::iterator use_file(int fd, std::size_t used);
    Files::iterator keep_file(Fd file, std::size_t used);
    void release(Files::iterator file);
    void release(const Code& code);
    bool is_quarantined(const FileKey& key) const;
    void note_crash(std::uint32_t file_id);
    Frame bare_frame(std::uint32_t pid, std::uint64_t address) const;

    Fd events_;  // epoll: the socket, and the timer
    Fd timer_;
    Progress* progress_;
    std::optional<Channel> channel_;
    KnownTexts texts_;
    bool wants_write_ = false;
    pid_t worker_ = -1;
    std::uint64_t next_id_ = 1;
    int nice_ = 0;  // more than our own
    std::uint64_t failures_ = 0;
    Clock::time_point asked_;  // since when the worker is at the first request
    Clock::time_point last_beat_;
    std::optional<std::chrono::nanoseconds> starved_before_;  // looked at once it is silent
    std::uint32_t beats_ = 0;
    unsigned needs_ = 0;            // of the first request
    std::deque<Request> requests_;  // in the order in which the worker answers
    std::deque<Answer> finished_;   // for poll() to hand out
    // As the worker answered. The processes of one program map the same files.
    RecentCache<ScanKey, Result<ModuleScan>> scans_{max_scan_bytes};
    std::map<std::uint32_t, Code> processes_;
    Files files_;
    std::deque<FileKey> resting_;  // of files_ those that no process maps, the latest last
    std::uint32_t next_file_id_ = 1;
    // A file that has killed the worker twice is not shown to it again, whatever its contents are by then.
    std::map<FileName, unsigned> crashes_;
};

}  // namespace loopwatch
