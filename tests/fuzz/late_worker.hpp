// SPDX-License-Identifier: Apache-2.0
//
// A symbol worker whose answers are made of the stack's bytes, and that gives them when the script wants it to: at
// once, as a full queue does, or later.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <utility>

#include "stack/symbol_worker.hpp"

// What a target may call its functions and modules.
inline std::vector<loopwatch::Frame> frames_of(std::span<const std::uint8_t> bytes)
{
    static constexpr const char* functions[] = {"",
                                                "main",
                                                "write",
                                                "__GI___libc_write",
                                                "epoll_wait",
                                                "pthread_mutex_lock",
                                                "getaddrinfo",
                                                "start_thread",
                                                "__libc_start_call_main",
                                                "asio::detail::scheduler::run(boost::system::error_code&)",
                                                "uv_run",
                                                "event_base_loop",
                                                "std::sort<int*>(int*, int*)",
                                                "loopwatch::Loop::run()",
                                                "app::on_read(int)",
                                                "app::work() [clone .resume]",
                                                "\x1b[31mred\x1b[0m",
                                                "\xff\xfe",
                                                "a very long name of a function, longer than fits"};
    static constexpr const char* modules[] = {"/usr/bin/app", "/lib/x86_64-linux-gnu/libc.so.6", "",
                                              "/usr/lib/libloopwatch_preload.so", "/usr/lib/libstdc++.so.6"};
    std::vector<loopwatch::Frame> frames;
    for (const auto byte : bytes) {
        loopwatch::Frame frame;
        frame.function = functions[byte % std::size(functions)];
        frame.module = modules[byte / 8 % std::size(modules)];
        if (byte & 1) frame.file = "/src/app.cpp";
        frame.line = byte;
        frame.offset = byte * 16u;
        frame.inlined = byte % 7 == 0;
        frame.cfa = 0x7000u + byte * 8u;
        frames.push_back(std::move(frame));
    }
    return frames;
}

class LateWorker : public loopwatch::SymbolWorker {
public:
    explicit LateWorker(bool late) : late_(late) {}

    loopwatch::Result<loopwatch::ModuleScan> scan(int, loopwatch::ScanOptions) override { return scan_; }
    void scan_ahead(int, loopwatch::ScanOptions, Done done) override { ask({}, std::move(done)); }
    const loopwatch::Result<loopwatch::ModuleScan>* scanned(int, loopwatch::ScanOptions) override { return &scan_; }
    loopwatch::Result<void> map_process(std::uint32_t, std::vector<loopwatch::ModuleMapping>, loopwatch::Fd) override
    {
        return {};
    }
    void unwind(loopwatch::CapturedStack stack, Done done) override { ask(frames_of(stack.bytes), std::move(done)); }
    void symbolize(std::uint32_t, std::vector<std::uint64_t> addresses, Done done) override
    {
        std::vector<std::uint8_t> bytes;
        for (const auto address : addresses) bytes.push_back(static_cast<std::uint8_t>(address));
        ask(frames_of(bytes), std::move(done));
    }
    void demangle_type(std::uint32_t, std::string name, Done done) override
    {
        loopwatch::Frame frame;
        frame.function = std::move(name);
        ask({std::move(frame)}, std::move(done));
    }
    void raise_priority_until(std::uint64_t) override {}
    void lower_priority() override {}
    void ration(std::optional<std::uint32_t>) override {}
    std::uint64_t refused() const override { return 0; }
    void end_if_idle(std::uint64_t) override {}
    void parse_context(std::uint32_t, std::span<const std::byte>, ContextDone done) override { done({}); }
    int descriptor() const override { return -1; }
    // One answer.
    void poll() override
    {
        if (waiting_.empty()) return;
        auto [frames, done] = std::move(waiting_.front());
        waiting_.pop_front();
        ++answered_;
        done(std::move(frames));
    }
    std::size_t pending() const override { return waiting_.size(); }
    std::uint64_t asked() const override { return asked_; }
    bool answered(std::uint64_t asked) const override { return answered_ >= asked; }
    void give_up() override
    {
        for (auto& [frames, done] : waiting_) frames.clear();
        while (pending() != 0) poll();
    }
    pid_t pid() const override { return -1; }
    std::uint64_t failures() const override { return 0; }
    const std::optional<loopwatch::Error>& start_failure() const override { return start_failure_; }

private:
    loopwatch::Result<loopwatch::ModuleScan> scan_ = loopwatch::ModuleScan{};
    std::optional<loopwatch::Error> start_failure_;
    void ask(std::vector<loopwatch::Frame> frames, Done done)
    {
        ++asked_;
        waiting_.emplace_back(std::move(frames), std::move(done));
        if (!late_) poll();
    }

    bool late_;
    std::deque<std::pair<std::vector<loopwatch::Frame>, Done>> waiting_;
    std::uint64_t asked_ = 0, answered_ = 0;
};
