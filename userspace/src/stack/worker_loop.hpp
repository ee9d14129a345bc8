// SPDX-License-Identifier: Apache-2.0
//
// WorkerLoop: the worker process. Reads requests, answers them in order. It opens no path on behalf of the target:
// files arrive as descriptors, separate debug files are asked of the core ("need"), so that it can be confined further.
// The one exception is BCC, which wants /proc/self/fd/N.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "stack/channel.hpp"
#include "stack/process_image.hpp"
#include "stack/texts.hpp"

namespace loopwatch {

class WorkerLoop {
public:
    WorkerLoop(Fd socket, Progress& progress);

    // Returns when the core is gone, or has asked for nothing for 30 s: an idle collector shall hold no debug
    // information.
    void run();

private:
    std::optional<Message> wait(int timeout_ms);
    void handle(Message& message);
    void answer_scan(Message& message, nlohmann::json& reply);
    void map(Message& message);
    void keep_images_of(std::uint32_t pid);
    std::vector<Frame> unwind(Message& message);
    std::vector<Frame> symbolize(Message& message);
    std::vector<Frame> demangle_type(Message& message);
    static std::vector<Frame> parse_context(const Message& message);
    std::shared_ptr<Image> image(std::uint32_t file_id, Fd file);
    Fd debug_file(std::uint32_t pid, const std::string& path, const DebugFileWanted& wanted);
    ProcessImage& process(std::uint32_t pid);
    void send(nlohmann::json body);

    Channel channel_;
    SentTexts texts_;
    Progress& progress_;
    std::uint64_t handled_ = 0;    // requests that were answered
    std::deque<Message> waiting_;  // arrived while a debug file was awaited
    std::map<std::uint32_t, std::weak_ptr<Image>> images_;
    std::deque<std::shared_ptr<Image>> resting_;  // of processes that have ended, the latest last
    std::map<std::uint32_t, std::unique_ptr<ProcessImage>> processes_;
};

// Turns the calling process, just forked from the zygote, into the worker; never returns.
[[noreturn]] void become_worker(int socket, Progress& progress, pid_t core);

}  // namespace loopwatch
