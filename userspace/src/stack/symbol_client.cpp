// SPDX-License-Identifier: Apache-2.0
#include "stack/symbol_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "stack/answers.hpp"
#include "stack/debug_files.hpp"
#include "stack/segments.hpp"

namespace loopwatch {
namespace {

using nlohmann::json;

constexpr std::size_t max_requests = 4096;
constexpr std::size_t assured_requests = 64;  // of each process, whatever the others have asked for
constexpr std::size_t max_unsent_bytes = 64u << 20;
constexpr std::size_t max_modules = 4096;  // of one process
constexpr std::size_t max_addresses = 256;
constexpr unsigned max_needs = 4096;  // debug files that the worker asks for on the way to one answer

}  // namespace

Result<std::unique_ptr<SymbolWorker>> SymbolWorker::start()
{
    auto client = SymbolClient::open();
    if (!client) return client.error();
    return std::unique_ptr<SymbolWorker>(std::move(*client));
}

Result<std::unique_ptr<SymbolClient>> SymbolClient::open()
{
    Fd events(::epoll_create1(EPOLL_CLOEXEC));
    Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!events || !timer) return errno_error(ExitCode::failed, "symbol worker");
    epoll_event event = {};
    event.events = EPOLLIN;
    if (::epoll_ctl(events.raw(), EPOLL_CTL_ADD, timer.raw(), &event) != 0)
        return errno_error(ExitCode::failed, "symbol worker");
    auto worker = WorkerProcess::open();
    if (!worker) return worker.error();
    std::unique_ptr<SymbolClient> client(new SymbolClient(std::move(events), std::move(timer), std::move(*worker)));
    if (auto started = client->ensure_worker(); !started) return started.error();
    return client;
}

SymbolClient::SymbolClient(Fd events, Fd timer, WorkerProcess worker)
    : events_(std::move(events)), timer_(std::move(timer)), worker_(std::move(worker))
{
}

SymbolClient::~SymbolClient() = default;

Result<ModuleScan> SymbolClient::scan(int elf, ScanOptions options)
{
    const auto file = files_.use(elf, 0);
    if (file == files_.end()) return Error{ExitCode::failed, "not a regular file", {}};
    const ScanKey key(file->first, options.coroutines);
    auto asked = Result<void>();
    if (!scans_.find(key) && !awaits_scan(key)) asked = ask_for_scan(next_id_++, elf, file->second, key, {});
    files_.release(file);
    if (!asked) return asked.error();
    while (awaits_scan(key)) {
        // Not the timer, which wakes while answers to others wait for poll().
        pollfd ready = {channel_->descriptor(), static_cast<short>(POLLIN | (channel_->unsent_bytes() ? POLLOUT : 0)),
                        0};
        if (::poll(&ready, 1, 1000) < 0 && errno != EINTR) return errno_error(ExitCode::failed, "symbol worker");
        pump();
        watch();
    }
    return scans_.take(key, elf);
}

void SymbolClient::scan_ahead(int elf, ScanOptions options, Done done)
{
    if (const auto file = files_.use(elf, 0); file != files_.end()) {
        const ScanKey key(file->first, options.coroutines);
        const auto awaited = std::ranges::find(requests_, key, &Request::scan);
        auto asked = Result<void>();
        if (awaited != requests_.end())
            awaited->done = [first = std::move(awaited->done), done = std::move(done)](const std::vector<Frame>&) {
                if (first) first({});
                done({});
            };
        else if (!scans_.find(key))
            asked = ask_for_scan(next_id_++, elf, file->second, key, done);
        if (!asked) scans_.keep(key, asked.error());  // that is the answer
        files_.release(file);
        if (awaits_scan(key)) return;
    }
    finished_.push_back({std::move(done), {}});
    watch();
}

bool SymbolClient::has_scanned(int elf, ScanOptions options)
{
    const auto file = files_.use(elf, 0);
    if (file == files_.end()) return true;  // it is refused
    const ScanKey key(file->first, options.coroutines);
    const bool refused = files_.is_quarantined(file->first);
    files_.release(file);
    return refused || scans_.find(key) != nullptr;
}

bool SymbolClient::awaits_scan(const ScanKey& key) const
{
    return std::ranges::find(requests_, key, &Request::scan) != requests_.end();
}

Result<void> SymbolClient::ask_for_scan(std::uint64_t id, int elf, const TargetFiles::File& file, const ScanKey& key,
                                        Done done)
{
    if (auto segments = read_segments(elf); !segments) return segments.error();
    if (files_.is_quarantined(key.first)) return Error{ExitCode::failed, "the file has crashed the symbol worker", {}};
    if (auto ready = ensure_worker(); !ready) return ready;
    enqueue({id, 0, {}, std::move(done), key, Fd(::fcntl(elf, F_DUPFD_CLOEXEC, 0))});
    if (!send({{"do", "scan"}, {"id", id}, {"file", file.id}, {"coroutines", key.second}}, {}, elf))
        return errno_error(ExitCode::failed, "symbol worker");
    return {};
}

Result<void> SymbolClient::map_process(std::uint32_t pid, std::vector<ModuleMapping> modules, Fd perf_map)
{
    if (modules.size() > max_modules) modules.resize(max_modules);
    const auto before = processes_.extract(pid);
    if (modules.empty()) {
        if (!before.empty()) release(before.mapped());
        if (worker_.runs()) send({{"do", "map"}, {"pid", pid}});
        return {};
    }
    Code code{std::move(modules), {}, files_.keep(std::move(perf_map), 0)};
    for (auto& module : code.modules) code.files.push_back(files_.keep(std::move(module.file), code.files.size()));
    // What it maps as before stays.
    if (!before.empty()) release(before.mapped());
    const auto& kept = processes_.emplace(pid, std::move(code)).first->second;
    if (worker_.runs()) {
        send_code(pid, kept);
        return {};
    }
    return ensure_worker();
}

void SymbolClient::unwind(CapturedStack stack, Done done)
{
    json registers = json::array();
    for (const std::uint64_t value : stack.dwarf_registers) registers.push_back(value);
    json body = {{"do", "unwind"},
                 {"pid", stack.pid},
                 {"registers", std::move(registers)},
                 {"base", stack.base},
                 {"truncated", stack.truncated}};
    if (stack.bytes.size() > max_raw_bytes) stack.bytes.resize(max_raw_bytes);
    ask({0, stack.pid, {stack.dwarf_registers[CapturedStack::pc_register]}, std::move(done)}, std::move(body),
        std::move(stack.bytes));
}

void SymbolClient::symbolize(std::uint32_t pid, std::vector<std::uint64_t> addresses, Done done)
{
    if (addresses.size() > max_addresses) addresses.resize(max_addresses);
    if (addresses.empty()) {
        finished_.push_back({std::move(done), {}});
        return watch();
    }
    json body = {{"do", "symbolize"}, {"pid", pid}, {"addresses", addresses}};
    ask({0, pid, std::move(addresses), std::move(done)}, std::move(body), {});
}

void SymbolClient::demangle_type(std::uint32_t pid, std::string name, Done done)
{
    ask({0, pid, {}, std::move(done)}, {{"do", "demangle_type"}, {"pid", pid}, {"name", clean_text(name)}}, {});
}

void SymbolClient::ask(Request request, json body, std::vector<std::uint8_t> raw)
{
    const bool full =
        pending() >= max_requests || (channel_ && channel_->unsent_bytes() + raw.size() > max_unsent_bytes);
    const auto asks_much = [&] {
        return static_cast<std::size_t>(std::ranges::count(requests_, request.pid, &Request::pid)) >= assured_requests;
    };
    if ((full && asks_much()) || !ensure_worker()) {
        fail(request);
        auto answer = std::move(finished_.back());
        finished_.pop_back();
        watch();
        return answer.done(std::move(answer.frames));
    }
    body["id"] = request.id = next_id_++;
    enqueue(std::move(request));
    send(std::move(body), std::move(raw));
}

void SymbolClient::enqueue(Request request)
{
    if (requests_.empty()) begin_request();
    requests_.push_back(std::move(request));
}

void SymbolClient::poll()
{
    pump();
    // Only what is there: a callback may ask again.
    for (std::size_t count = finished_.size(); count > 0; --count) {
        Answer answer = std::move(finished_.front());
        finished_.pop_front();
        answer.done(std::move(answer.frames));
    }
    watch();
}

Result<void> SymbolClient::ensure_worker()
{
    if (worker_.runs()) return {};
    auto socket = worker_.start();
    start_failure_.reset();
    if (!socket) return *(start_failure_ = socket.error());
    epoll_event event = {};
    event.events = EPOLLIN;
    ::epoll_ctl(events_.raw(), EPOLL_CTL_ADD, socket->raw(), &event);
    channel_.emplace(std::move(*socket), false);
    texts_ = {};
    wants_write_ = false;
    for (const auto& [pid, code] : processes_) send_code(pid, code);
    return {};
}

void SymbolClient::send_code(std::uint32_t pid, const Code& code)
{
    send({{"do", "map"}, {"pid", pid}});
    if (const auto file = code.perf_map; file != files_.end() && !files_.is_quarantined(file->first))
        send({{"do", "perf_map"}, {"pid", pid}, {"file", file->second.id}}, {}, file->second.descriptor.raw());
    for (std::size_t i = 0; i < code.modules.size(); ++i) send_module(pid, code.modules[i], code.files[i]);
}

void SymbolClient::send_module(std::uint32_t pid, const ModuleMapping& module, TargetFiles::Files::const_iterator file)
{
    const bool known = file != files_.end(), shown = known && !files_.is_quarantined(file->first);
    send({{"do", "module"},
          {"pid", pid},
          {"start", module.start},
          {"end", module.end},
          {"offset", module.file_offset},
          {"path", clean_text(module.path)},
          {"file", known ? file->second.id : 0}},
         {}, shown ? file->second.descriptor.raw() : -1);
}

// False if there is no worker to send to; a broken socket shows at the next pump().
bool SymbolClient::send(json body, std::vector<std::uint8_t> raw, int file)
{
    if (!channel_) return false;
    Fd copy(file >= 0 ? ::fcntl(file, F_DUPFD_CLOEXEC, 0) : -1);
    channel_->send({std::move(body), std::move(raw), std::move(copy)});
    channel_->flush();
    watch();
    return true;
}

void SymbolClient::pump()
{
    std::uint64_t ticks = 0;
    [[maybe_unused]] const ssize_t drained = ::read(timer_.raw(), &ticks, sizeof ticks);
    if (channel_) {
        bool alive = channel_->flush() == Channel::State::open;
        // What it said before it died still counts.
        alive = channel_->receive() == Channel::State::open && alive;
        while (channel_)
            if (auto message = channel_->next(); !message)
                break;
            else if (!accept(*message))
                alive = false;
        if (!alive || (!requests_.empty() && worker_.is_stuck())) worker_lost();
    }
}

void SymbolClient::begin_request()
{
    needs_ = 0;
    worker_.begin_request();
}

bool SymbolClient::accept(Message& message)
{
    const json& body = message.body;
    if (body.contains("need")) return answer_need(body);
    const json id = body.value("id", json());
    if (requests_.empty() || id != requests_.front().id) return false;
    Request request = std::move(requests_.front());
    requests_.pop_front();
    begin_request();
    if (request.scan) {
        auto scan = decode_scan(body.value("scan", json()));
        const json error = body.value("error", json());
        if (scan)
            answer_scan(request, std::move(*scan));
        else
            answer_scan(request, Error{ExitCode::failed,
                                       error.is_string() ? clean_text(error.get<std::string>()) : "unreadable answer",
                                       {}});
        return true;
    }
    auto frames = decode_frames(body, texts_);
    if (!frames) return fail(request), body.contains("error");
    finished_.push_back({std::move(request.done), std::move(*frames)});
    return true;
}

bool SymbolClient::answer_need(const json& body)
{
    const json build_id = body.value("build_id", json()), debuglink = body.value("debuglink", json());
    const json pid = body.value("pid", json()), path = body.value("path", json());
    if (++needs_ > max_needs || !build_id.is_string() || !debuglink.is_string() || !path.is_string() ||
        !pid.is_number_unsigned())
        return false;
    // The worker has read hostile files: it gets what lies beside a module only if the core knows of that module.
    const auto process = processes_.find(pid.get<std::uint32_t>());
    const bool mapped = process != processes_.end() &&
                        std::ranges::find(process->second.modules, path.get<std::string>(), &ModuleMapping::path) !=
                            process->second.modules.end();
    const Fd file = open_debug_file({build_id.get<std::string>(), debuglink.get<std::string>()},
                                    path.get<std::string>(), mapped ? process->first : 0);
    return send({{"do", "debug_file"}}, {}, file.raw());
}

// The worker died, hangs, or does not keep to the protocol: another one is started with the next request.
void SymbolClient::worker_lost()
{
    const std::uint32_t culprit = worker_.file_being_read();
    const bool guilty = !requests_.empty();  // an idle worker that ends does so of its own accord
    end_worker();
    if (guilty && culprit != 0) files_.note_crash(culprit);
    // It was at the first one. Files that wait to be read are innocent.
    auto lost = std::exchange(requests_, {});
    const auto may_go_on = [&](const Request& request) { return request.scan && &request != &lost.front(); };
    for (auto& request : lost)
        if (!may_go_on(request)) fail(request);
    for (auto& request : lost)
        if (may_go_on(request)) scan_again(request);
}

// Under the number that it had: who waits until it is answered() goes on waiting.
void SymbolClient::scan_again(Request& request)
{
    const auto file = files_.use(request.file.raw(), 0);
    auto asked = file == files_.end()
                     ? Result<void>(Error{ExitCode::failed, "no descriptor is left to read it by", {}})
                     : ask_for_scan(request.id, request.file.raw(), file->second, *request.scan, request.done);
    files_.release(file);
    if (!asked) answer_scan(request, asked.error());
}

void SymbolClient::give_up()
{
    end_worker();
    fail_all();
    watch();
}

void SymbolClient::fail_all()
{
    for (Request& request : requests_) fail(request);
    requests_.clear();
}

void SymbolClient::end_worker()
{
    if (channel_) ::epoll_ctl(events_.raw(), EPOLL_CTL_DEL, channel_->descriptor(), nullptr);
    channel_.reset();
    worker_.end();
}

void SymbolClient::answer_scan(Request& request, Result<ModuleScan> scan)
{
    scans_.keep(*request.scan, std::move(scan));
    if (request.done) finished_.push_back({std::move(request.done), {}});
}

void SymbolClient::fail(Request& request)
{
    if (request.scan)
        return answer_scan(request, Error{ExitCode::failed, "the symbol worker died while it read the file", {}});
    ++failures_;
    std::vector<Frame> frames;
    for (const std::uint64_t address : request.addresses) frames.push_back(bare_frame(request.pid, address));
    finished_.push_back({std::move(request.done), std::move(frames)});
}

// Keeps descriptor() readable while poll() has something to do: at once if answers wait, each second while the worker
// owes one.
void SymbolClient::watch()
{
    if (channel_ && wants_write_ != (channel_->unsent_bytes() > 0)) {
        wants_write_ = !wants_write_;
        epoll_event event = {};
        event.events = EPOLLIN | (wants_write_ ? EPOLLOUT : 0u);
        ::epoll_ctl(events_.raw(), EPOLL_CTL_MOD, channel_->descriptor(), &event);
    }
    itimerspec at = {};
    if (!finished_.empty())
        at.it_value.tv_nsec = 1;
    else if (!requests_.empty())
        at.it_value.tv_sec = 1;
    ::timerfd_settime(timer_.raw(), 0, &at, nullptr);
}

void SymbolClient::release(const Code& code)
{
    files_.release(code.perf_map);
    for (const auto file : code.files) files_.release(file);
}

Frame SymbolClient::bare_frame(std::uint32_t pid, std::uint64_t address) const
{
    Frame frame;
    frame.offset = address;
    const auto process = processes_.find(pid);
    if (process == processes_.end()) return frame;
    const auto& [modules, files, perf_map] = process->second;
    for (std::size_t i = 0; i < modules.size(); ++i) {
        const auto& module = modules[i];
        if (address < module.start || address >= module.end) continue;
        frame.module = clean_text(module.path);
        const auto segments =
            files[i] == files_.end() ? std::nullopt : std::optional(read_segments(files[i]->second.descriptor.raw()));
        const std::uint64_t offset = address - module.start + module.file_offset;
        frame.offset = segments && *segments ? (*segments)->vaddr_of(offset, PF_X).value_or(offset) : offset;
    }
    return frame;
}

}  // namespace loopwatch
