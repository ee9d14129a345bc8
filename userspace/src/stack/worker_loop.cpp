// SPDX-License-Identifier: Apache-2.0
#include "stack/worker_loop.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <span>

#include "stack/answers.hpp"
#include "stack/confinement.hpp"
#include "stack/function_name.hpp"
#include "stack/module_scan.hpp"
#include "stack/process_context.hpp"

namespace loopwatch {
namespace {

using nlohmann::json;

constexpr int idle_ms = 30'000;
constexpr std::size_t max_resting_images = 64;  // files; a server has 5 to 60
constexpr std::uint64_t innocent_after = 64;    // answers

std::uint32_t id_of(const json& body, const char* key)
{
    return body.at(key).get<std::uint32_t>();
}

}  // namespace

WorkerLoop::WorkerLoop(Fd socket, Progress& progress) : channel_(std::move(socket), true), progress_(progress)
{
}

void WorkerLoop::run()
{
    while (true) {
        std::optional<Message> message;
        if (waiting_.empty()) {
            message = wait(idle_ms);
        } else {
            message = std::move(waiting_.front());
            waiting_.pop_front();
        }
        if (!message) return;
        handle(*message);
        progress_.reading(0);
    }
}

std::optional<Message> WorkerLoop::wait(int timeout_ms)
{
    while (true) {
        if (auto message = channel_.next()) return message;
        pollfd ready = {channel_.descriptor(), static_cast<short>(POLLIN | (channel_.unsent_bytes() > 0 ? POLLOUT : 0)),
                        0};
        const int count = ::poll(&ready, 1, timeout_ms);
        if (count == 0) return std::nullopt;
        if (count < 0 && errno != EINTR) return std::nullopt;
        if (channel_.flush() == Channel::State::closed || channel_.receive() == Channel::State::closed)
            return std::nullopt;
    }
}

void WorkerLoop::handle(Message& message)
{
    const std::string& what = message.body.at("do").get_ref<const std::string&>();
    if (what == "map" || what == "module") return map(message);
    if (what == "perf_map") {
        if (message.file)
            process(id_of(message.body, "pid")).set_perf_map(std::move(message.file), id_of(message.body, "file"));
        return;
    }
    if (what == "debug_file") return;  // the answer to a question that nobody asks any more
    json reply = {{"id", message.body.at("id")}};
    try {
        if (what == "scan")
            answer_scan(message, reply);
        else
            encode_frames(what == "unwind"          ? unwind(message)
                          : what == "demangle_type" ? demangle_type(message)
                          : what == "parse_context" ? parse_context(message)
                                                    : symbolize(message),
                          texts_, reply);
    } catch (const std::bad_alloc&) {
        // It would stay full. Not this file's fault alone, if it was not among the first.
        if (handled_ > innocent_after) progress_.reading(0);
        ::_exit(1);
    }
    ++handled_;
    send(std::move(reply));
}

void WorkerLoop::answer_scan(Message& message, json& reply)
{
    progress_.reading(id_of(message.body, "file"));
    const auto scan = scan_module(message.file.raw(), {message.body.at("coroutines").get<bool>()});
    if (scan)
        reply["scan"] = encode_scan(*scan);
    else
        reply["error"] = scan.error().what;
}

void WorkerLoop::map(Message& message)
{
    const json& body = message.body;
    const std::uint32_t pid = id_of(body, "pid");
    if (body["do"] == "map") {
        keep_images_of(pid);
        processes_.erase(pid);
        std::erase_if(images_, [](const auto& entry) { return entry.second.expired(); });
        return;
    }
    ProcessImage::Module module{body.at("start"), body.at("end"),      body.at("offset"),
                                body.at("path"),  id_of(body, "file"), nullptr};
    progress_.reading(module.file_id);
    if (message.file) {
        module.image = image(module.file_id, std::move(message.file));
        if (module.image)
            module.image->set_finder([this, pid, path = module.path](const DebugFileWanted& wanted) {
                return debug_file(pid, path, wanted);
            });
    }
    process(pid).add(std::move(module));
}

// A server that is restarted maps the same files again: read anew, they cost its first stack 100 ms, and a loop is
// recognised by its first stack.
void WorkerLoop::keep_images_of(std::uint32_t pid)
{
    const auto ended = processes_.find(pid);
    if (ended == processes_.end() || !ended->second) return;
    for (const auto& module : ended->second->modules()) {
        std::erase(resting_, module.image);
        if (module.image) resting_.push_back(module.image);
    }
    while (resting_.size() > max_resting_images) resting_.pop_front();
}

std::vector<Frame> WorkerLoop::unwind(Message& message)
{
    const json& body = message.body;
    CapturedStack stack;
    stack.pid = id_of(body, "pid");
    for (std::size_t i = 0; i < std::size(stack.dwarf_registers); ++i)
        stack.dwarf_registers[i] = body.at("registers").at(i);
    stack.base = body.at("base");
    stack.truncated = body.at("truncated");
    stack.bytes = std::move(message.raw);
    return process(stack.pid).unwind(stack);
}

std::vector<Frame> WorkerLoop::symbolize(Message& message)
{
    std::vector<Frame> frames;
    for (const json& address : message.body.at("addresses"))
        process(id_of(message.body, "pid")).symbolize(address, frames);
    return frames;
}

std::vector<Frame> WorkerLoop::demangle_type(Message& message)
{
    std::vector<Frame> frames(1);
    frames[0].function = loopwatch::demangle_type(message.body.at("name").get_ref<const std::string&>().c_str());
    return frames;
}

// An answer has a frame at least.
std::vector<Frame> WorkerLoop::parse_context(const Message& message)
{
    const auto attributes = parse_process_context(std::as_bytes(std::span(message.raw)));
    std::vector<Frame> frames;
    for (const auto& [key, value] : attributes.value_or(std::vector<ContextAttribute>())) {
        auto& frame = frames.emplace_back();
        frame.function = key;
        frame.file = value;
    }
    if (frames.empty()) frames.emplace_back();
    return frames;
}

std::shared_ptr<Image> WorkerLoop::image(std::uint32_t file_id, Fd file)
{
    if (auto known = images_[file_id].lock()) return known;
    auto opened = Image::open(std::move(file), progress_);
    if (!opened) return nullptr;
    std::shared_ptr<Image> image = std::move(*opened);
    images_[file_id] = image;
    return image;
}

Fd WorkerLoop::debug_file(std::uint32_t pid, const std::string& path, const DebugFileWanted& wanted)
{
    send({{"need", "debug_file"},
          {"pid", pid},
          {"path", path},
          {"build_id", wanted.build_id},
          {"debuglink", wanted.debuglink}});
    while (auto message = wait(idle_ms)) {
        if (message->body.at("do") == "debug_file") return std::move(message->file);
        waiting_.push_back(std::move(*message));
    }
    return {};
}

ProcessImage& WorkerLoop::process(std::uint32_t pid)
{
    auto& process = processes_[pid];
    if (!process) process = std::make_unique<ProcessImage>(pid, progress_);
    return *process;
}

void WorkerLoop::send(json body)
{
    channel_.send({std::move(body), {}, {}});
    if (channel_.flush() == Channel::State::closed) ::_exit(0);
}

void become_worker(int socket, Progress& progress, pid_t core)
{
    ::prctl(PR_SET_NAME, "loopwatch-sym");
    if (!confine_worker(core)) ::_exit(1);

    try {
        WorkerLoop(Fd(socket), progress).run();
    } catch (...) {
        ::_exit(1);  // a bug or no memory; the core sees the socket close, and starts another
    }
    ::_exit(0);
}

}  // namespace loopwatch
