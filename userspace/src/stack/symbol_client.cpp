// SPDX-License-Identifier: Apache-2.0
#include "stack/symbol_client.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "stack/answers.hpp"
#include "stack/debug_files.hpp"
#include "stack/segments.hpp"
#include "util/beside.hpp"
#include "util/detached.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {
namespace {

using nlohmann::json;

constexpr std::size_t max_requests = 4096;
constexpr std::size_t assured_requests = 64;  // of each process, whatever the others have asked for
constexpr std::size_t max_unsent_bytes = 64u << 20;
constexpr std::size_t max_modules = 4096;  // of one process
constexpr std::size_t max_addresses = 256;
constexpr int can_wait_nice = 10;
constexpr unsigned max_needs = 4096;  // debug files that the worker asks for on the way to one answer
constexpr std::uint64_t most_opening_ns = 1'000'000'000;  // a debug file: all names wait for it

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
    Fd beside(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event = {};
    event.events = EPOLLIN;
    for (const int fd : {timer.raw(), beside.raw()})
        if (::epoll_ctl(events.raw(), EPOLL_CTL_ADD, fd, &event) != 0)
            return errno_error(ExitCode::failed, "symbol worker");
    auto worker = WorkerProcess::open();
    if (!worker) return worker.error();
    std::unique_ptr<SymbolClient> client(
        new SymbolClient(std::move(events), std::move(timer), std::move(beside), std::move(*worker)));
    if (auto started = client->ensure_worker(); !started) return started.error();
    return client;
}

SymbolClient::SymbolClient(Fd events, Fd timer, Fd beside, WorkerProcess worker)
    : events_(std::move(events)),
      timer_(std::move(timer)),
      beside_(std::make_shared<Fd>(std::move(beside))),
      worker_(std::move(worker))
{
}

SymbolClient::~SymbolClient() = default;

Result<void> SymbolClient::map_process(std::uint32_t pid, std::vector<ModuleMapping> modules, Fd perf_map)
{
    if (modules.size() > max_modules) modules.resize(max_modules);
    const auto before = processes_.extract(pid);
    if (modules.empty()) {
        if (!before.empty()) release(before.mapped());
        if (worker_.runs()) send({{"do", "map"}, {"pid", pid}});
        return {};
    }
    Code code{CodeRanges(modules), std::move(modules), {}, files_.keep(std::move(perf_map), 0)};
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
    const auto sp = stack.dwarf_registers[CapturedStack::sp_register];
    Request request = {0, stack.pid, {stack.dwarf_registers[CapturedStack::pc_register]}, std::move(done)};
    const auto code = processes_.find(stack.pid);
    // Names of code that is generated at run time change without a new mapping.
    if (code != processes_.end() && code->second.perf_map == files_.end()) {
        const auto key = StackCache::key_of(stack, code->second.ranges);
        request.answer = stacks_.find(key, stack);
        request.stack = key;
        request.sp = sp;
    }
    if (!request.answer && stack.rationed && refuse()) {
        request.answer = {bare_frame(stack.pid, request.addresses.front())};
        request.stack.reset();
    }
    // One that has died is started again before what comes next has to wait for it.
    if (request.answer && !worker_.runs() && !rests_) (void)ensure_worker();
    if (request.answer && requests_.empty()) {
        finished_.push_back({std::move(request.done), std::move(*request.answer)});
        return watch();
    }
    if (request.answer && pending() < max_requests) {
        request.id = next_id_++;
        return enqueue(std::move(request));
    }
    json registers = json::array();
    for (const std::uint64_t value : stack.dwarf_registers) registers.push_back(value);
    json body = {{"do", "unwind"},
                 {"pid", stack.pid},
                 {"registers", std::move(registers)},
                 {"base", stack.base},
                 {"truncated", stack.truncated}};
    if (stack.bytes.size() > max_raw_bytes) stack.bytes.resize(max_raw_bytes);
    ask(std::move(request), std::move(body), std::move(stack.bytes));
}

// Is the ration of this second used up?
bool SymbolClient::refuse()
{
    if (!ration_) return false;
    const auto second = monotonic_ns() / 1'000'000'000;
    if (std::exchange(ration_second_, second) != second) rationed_ = 0;
    if (rationed_++ < *ration_) return false;
    ++refused_;
    return true;
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
    rests_ = false;
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
    for (const int fd : {timer_.raw(), beside_->raw()}) {
        [[maybe_unused]] const ssize_t drained = ::read(fd, &ticks, sizeof ticks);
    }
    take_checked();
    send_debug_file();
    if (channel_) {
        bool alive = channel_->flush() == Channel::State::open;
        // What it said before it died still counts.
        alive = channel_->receive() == Channel::State::open && alive;
        while (channel_)
            if (auto message = channel_->next(); !message)
                break;
            else if (!accept(*message))
                alive = false;
            else
                finish_known();
        if (!alive || (!requests_.empty() && worker_.is_stuck())) worker_lost();
    }
}

void SymbolClient::begin_request()
{
    needs_ = 0;
    asked_ns_ = monotonic_ns();
    worker_.begin_request();
    if (!requests_.empty()) worker_.set_nice(monotonic_ns() < preferred_until_ns_ ? 0 : can_wait_nice);
}

// Those of which the answer was known, and that waited for those before them.
void SymbolClient::finish_known()
{
    while (!requests_.empty() && requests_.front().answer) {
        auto& request = requests_.front();
        finished_.push_back({std::move(request.done), std::move(*request.answer)});
        requests_.pop_front();
        begin_request();
    }
}

void SymbolClient::raise_priority_until(std::uint64_t time_ns)
{
    preferred_until_ns_ = std::max(preferred_until_ns_, time_ns);
    worker_.set_nice(0);
}

void SymbolClient::end_if_idle(std::uint64_t idle_ns)
{
    if (!worker_.runs() || !requests_.empty() || !checks_.empty() || monotonic_ns() < asked_ns_ + idle_ns) return;
    end_worker();
    rests_ = true;
}

void SymbolClient::lower_priority()
{
    preferred_until_ns_ = 0;
    worker_.set_nice(can_wait_nice);
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
            check(std::move(request), std::move(*scan));
        else
            answer_scan(request, Error{ExitCode::failed,
                                       error.is_string() ? clean_text(error.get<std::string>()) : "unreadable answer",
                                       {}});
        return true;
    }
    auto frames = decode_frames(body, texts_);
    if (!frames) return fail(request), body.contains("error");
    if (request.stack) stacks_.keep(*request.stack, *frames, request.sp);
    finished_.push_back({std::move(request.done), std::move(*frames)});
    return true;
}

bool SymbolClient::answer_need(const json& body)
{
    const json build_id = body.value("build_id", json()), debuglink = body.value("debuglink", json());
    const json pid = body.value("pid", json()), path = body.value("path", json());
    if (++needs_ > max_needs || debug_file_ || !build_id.is_string() || !debuglink.is_string() || !path.is_string() ||
        !pid.is_number_unsigned())
        return false;
    // The worker has read hostile files: it gets what lies beside a module only if the core knows of that module.
    const auto process = processes_.find(pid.get<std::uint32_t>());
    const bool mapped = process != processes_.end() &&
                        std::ranges::find(process->second.modules, path.get<std::string>(), &ModuleMapping::path) !=
                            process->second.modules.end();
    if (!may_detach_another()) return send({{"do", "debug_file"}});
    const auto open = [wanted = DebugFileWanted{build_id.get<std::string>(), debuglink.get<std::string>()},
                       path = path.get<std::string>(), pid = mapped ? process->first : 0] {
        Fd file = open_debug_file(wanted, path, pid);
        (void)read_segments(file.raw());  // whether its server answers is not for the worker to find out
        return file;
    };
    debug_file_ = {run_detached(open, beside_), monotonic_ns() + most_opening_ns};
    return true;
}

void SymbolClient::send_debug_file()
{
    if (!debug_file_) return;
    const bool is_open = is_ready(debug_file_->opened);
    if (!is_open && monotonic_ns() < debug_file_->until_ns) return;
    const Fd file = is_open ? debug_file_->opened.get() : Fd();
    debug_file_.reset();
    send({{"do", "debug_file"}}, {}, file.raw());
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

void SymbolClient::give_up()
{
    end_worker();
    fail_all();
    watch();
}

void SymbolClient::fail_all()
{
    for (Request& request : requests_) fail(request);
    for (Check& check : checks_) fail(check.request);
    requests_.clear();
    checks_.clear();
}

void SymbolClient::end_worker()
{
    if (channel_) ::epoll_ctl(events_.raw(), EPOLL_CTL_DEL, channel_->descriptor(), nullptr);
    channel_.reset();
    debug_file_.reset();
    worker_.end();
}

void SymbolClient::fail(Request& request)
{
    if (request.scan)
        return answer_scan(request, Error{ExitCode::failed, "the symbol worker died while it read the file", {}});
    if (request.answer) return finished_.push_back({std::move(request.done), std::move(*request.answer)});
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
    else if (!requests_.empty() || !checks_.empty())
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
    for (const auto& module : process->second.modules) {
        if (address < module.start || address >= module.end) continue;
        frame.module = clean_text(module.path);
        frame.offset = address - module.start + module.link_start.value_or(module.file_offset);
    }
    return frame;
}

}  // namespace loopwatch
