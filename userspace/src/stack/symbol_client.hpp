// SPDX-License-Identifier: Apache-2.0
//
// SymbolClient: the core's half of the symbol worker. Starts it (again), keeps what it must be told anew, bounds what
// waits for it, and checks its answers.
#pragma once

#include <deque>
#include <future>
#include <map>
#include <memory>
#include <optional>

#include "stack/channel.hpp"
#include "stack/module_scans.hpp"
#include "stack/stack_cache.hpp"
#include "stack/symbol_worker.hpp"
#include "stack/target_files.hpp"
#include "stack/texts.hpp"
#include "stack/worker_process.hpp"

namespace loopwatch {

class SymbolClient final : public SymbolWorker {
public:
    // Fails when memory for the shared word or descriptors run out.
    static Result<std::unique_ptr<SymbolClient>> open();
    ~SymbolClient() override;

    void scan_ahead(int elf, ScanOptions options, Done done) override;
    const Result<ModuleScan>* scanned(int elf, ScanOptions options) override;
    Result<ModuleScan> scan(int elf, ScanOptions options) override;
    Result<void> map_process(std::uint32_t pid, std::vector<ModuleMapping> modules, Fd perf_map) override;
    void unwind(CapturedStack stack, Done done) override;
    void symbolize(std::uint32_t pid, std::vector<std::uint64_t> addresses, Done done) override;
    void demangle_type(std::uint32_t pid, std::string name, Done done) override;
    void parse_context(std::uint32_t pid, std::span<const std::byte> payload, ContextDone done) override;
    int descriptor() const override { return events_.raw(); }
    void poll() override;
    std::size_t pending() const override { return requests_.size() + checks_.size() + finished_.size(); }
    std::uint64_t asked() const override { return next_id_ - 1; }
    bool answered(std::uint64_t asked) const override;
    void give_up() override;
    void raise_priority_until(std::uint64_t time_ns) override;
    void lower_priority() override;
    void ration(std::optional<std::uint32_t> stacks_per_second) override { ration_ = stacks_per_second; }
    std::uint64_t refused() const override { return refused_; }
    void end_if_idle(std::uint64_t idle_ns) override;
    pid_t pid() const override { return worker_.pid(); }
    std::uint64_t failures() const override { return failures_; }
    const std::optional<Error>& start_failure() const override { return start_failure_; }

private:
    struct Answer {
        Done done;
        std::vector<Frame> frames;
    };
    struct Request {
        std::uint64_t id = 0;
        std::uint32_t pid = 0;
        std::vector<std::uint64_t> addresses;  // what is shown if no answer comes
        Done done;
        std::optional<ScanKey> scan = {};
        Fd file = {};  // of a scan: asked for again if the worker dies over another one
        std::optional<StackCache::Key> stack = {};
        std::uint64_t sp = 0;                           // of that stack
        std::optional<std::vector<Frame>> answer = {};  // known already: waits for those before it
    };
    // Of what the worker claims, against the file: beside, as a server may answer some reads and then no more.
    struct Check {
        Request request;
        std::future<Result<ModuleScan>> checked;
        std::uint64_t until_ns = 0;
    };
    struct DebugFile {  // that the worker waits for
        std::future<Fd> opened;
        std::uint64_t until_ns = 0;
    };
    struct Code {
        CodeRanges ranges;
        std::vector<ModuleMapping> modules;        // without their files, which are in
        std::vector<TargetFiles::Iterator> files;  // of each module; end(): there was no room for it
        TargetFiles::Iterator perf_map;
    };

    SymbolClient(Fd events, Fd timer, Fd beside, WorkerProcess worker);
    Result<void> ensure_worker();
    void send_code(std::uint32_t pid, const Code& code);
    void send_module(std::uint32_t pid, const ModuleMapping& module, TargetFiles::Files::const_iterator file);
    bool send(nlohmann::json body, std::vector<std::uint8_t> raw = {}, int file = -1);
    void enqueue(Request request);
    void begin_request();
    void finish_known();
    bool refuse();
    void ask(Request request, nlohmann::json body, std::vector<std::uint8_t> raw);
    void pump();
    bool accept(Message& message);
    bool answer_need(const nlohmann::json& body);
    void check(Request request, ModuleScan scan);
    void take_checked();
    void send_debug_file();
    void worker_lost();
    void end_worker();
    void fail(Request& request);
    void fail_all();
    void scan_again(Request& request);
    void watch();
    Result<void> ask_for_scan(std::uint64_t id, int elf, const TargetFiles::File& file, const ScanKey& key, Done done);
    Request* awaited(const ScanKey& key);
    void answer_scan(Request& request, Result<ModuleScan> scan);
    void release(const Code& code);
    Frame bare_frame(std::uint32_t pid, std::uint64_t address) const;

    Fd events_;  // epoll: all of the following
    Fd timer_;
    std::shared_ptr<const Fd> beside_;  // eventfd: a check, or a debug file, is ready
    WorkerProcess worker_;
    std::optional<Channel> channel_;
    KnownTexts texts_;
    bool wants_write_ = false;
    std::uint64_t next_id_ = 1;
    std::uint64_t failures_ = 0;
    std::uint64_t preferred_until_ns_ = UINT64_MAX;
    std::optional<Error> start_failure_;
    unsigned needs_ = 0;  // of the first request
    std::optional<DebugFile> debug_file_;
    std::deque<Request> requests_;  // in the order in which the worker answers
    std::deque<Check> checks_;      // of scans that it has answered
    std::deque<Answer> finished_;   // for poll() to hand out
    ModuleScans scans_;
    StackCache stacks_;
    std::optional<std::uint32_t> ration_;
    std::uint64_t ration_second_ = 0, refused_ = 0;  // the second that is rationed at present
    std::uint64_t asked_ns_ = 0;                     // when it was at a request last
    bool rests_ = false;  // it was ended as nothing was asked of it
    std::uint32_t rationed_ = 0;                     // unwound in it
    std::map<std::uint32_t, Code> processes_;
    TargetFiles files_;
};

}  // namespace loopwatch
