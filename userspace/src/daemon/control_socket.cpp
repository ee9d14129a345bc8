// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_socket.hpp"

#include <sys/socket.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "daemon/control_address.hpp"
#include "daemon/control_request.hpp"
#include "util/fd.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t ns_per_second = 1'000'000'000;

// How many bytes went without waiting; -1 with errno, none that fit is 0.
ssize_t send_some(int connection, std::string_view bytes)
{
    const auto sent = ::send(connection, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

}  // namespace

class ControlSocket::State {
public:
    State(ControlAddress address, Fd timer, Reactor& reactor, Answer answer, ControlLimits limits)
        : address_(std::move(address)),
          timer_(std::move(timer)),
          reactor_(reactor),
          answer_(std::move(answer)),
          limits_(limits)
    {
    }

    Result<void> start()
    {
        auto expired = reactor_.watch(timer_.raw(), Reactor::Ready::readable, [this] { expire(); });
        if (!expired) return expired.error();
        timer_watch_ = std::move(*expired);
        return listen();
    }

    const ControlStatistics& statistics() const { return statistics_; }
    std::size_t clients() const { return clients_.size(); }

private:
    struct Client {
        Fd connection;
        std::uint64_t deadline_ns = 0;
        std::string request;      // what has come
        std::string answer;       // empty: the request is not complete
        std::size_t written = 0;  // of `answer`
        Reactor::Watch watch;

        std::size_t pending() const { return answer.size() - written; }
    };
    using Clients = std::map<std::uint64_t, Client>;  // by number of the connection
    using Entry = Clients::iterator;

    Result<void> listen();
    void accept_some();
    void pause();
    void admit(Fd connection);
    void refuse(int connection, const char* kind, const std::string& what);
    void read(std::uint64_t number);
    void serve(Entry client, std::string_view line);
    void reject(Entry client, const std::string& what);
    void respond(Entry client, std::string answer);
    void write(std::uint64_t number);
    void drop(Entry client);
    std::size_t pending() const;
    void expire();
    void set_timer();

    ControlAddress address_;
    Fd timer_;  // at the next deadline, of a client or of a pause
    Reactor& reactor_;
    Answer answer_;
    ControlLimits limits_;
    ControlStatistics statistics_;
    Clients clients_;
    std::uint64_t window_end_ns_ = 0;
    std::uint32_t accepted_in_window_ = 0;
    bool paused_ = false;  // until window_end_ns_
    Reactor::Watch timer_watch_, listening_;
};

Result<void> ControlSocket::State::listen()
{
    auto listening = reactor_.watch(address_.descriptor(), Reactor::Ready::readable, [this] { accept_some(); });
    if (!listening) return listening.error();
    listening_ = std::move(*listening);
    paused_ = false;
    return {};
}

// What connects faster waits in the kernel's queue, which is short: a flood costs the engine's thread no more than
// most_accepts of these in a window.
void ControlSocket::State::accept_some()
{
    const auto now = monotonic_ns();
    if (now >= window_end_ns_) {
        window_end_ns_ = now + limits_.accept_window_ns;
        accepted_in_window_ = 0;
    }
    for (std::size_t each = 0; each < limits_.most_clients; ++each) {
        if (accepted_in_window_ == limits_.most_accepts) {
            pause();
            break;
        }
        Fd connection(::accept4(address_.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!connection && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (!connection) {
            // Out of descriptors, the socket stays readable: without a pause this would run in each wait.
            if (errno != EAGAIN) pause();
            break;
        }
        ++accepted_in_window_;
        ++statistics_.accepted;
        admit(std::move(connection));
    }
    set_timer();
}

void ControlSocket::State::pause()
{
    ++statistics_.throttled;
    paused_ = true;
    Reactor::Watch ended = std::move(listening_);
}

void ControlSocket::State::admit(Fd connection)
{
    if (!address_.permits(connection.raw()))
        return refuse(connection.raw(), "not_permitted", "only root and members of the group loopwatch may ask");
    if (clients_.size() >= limits_.most_clients) return refuse(connection.raw(), "busy", "too many clients at once");
    const auto number = statistics_.accepted;
    auto watch = reactor_.watch(connection.raw(), Reactor::Ready::readable, [this, number] { read(number); });
    if (!watch) return refuse(connection.raw(), "busy", watch.error().what);
    Client client;
    client.connection = std::move(connection);
    client.deadline_ns = monotonic_ns() + limits_.patience_ns;
    client.watch = std::move(*watch);
    clients_.emplace(number, std::move(client));
    read(number);  // those that have left already take no room
}

// An empty socket has room for a line.
void ControlSocket::State::refuse(int connection, const char* kind, const std::string& what)
{
    ++statistics_.refused;
    (void)send_some(connection, control_error_line(kind, what));
}

void ControlSocket::State::read(std::uint64_t number)
{
    const auto client = clients_.find(number);
    if (client == clients_.end()) return;
    auto& request = client->second.request;
    std::array<char, 4096> bytes;
    const auto room = std::min(bytes.size(), limits_.most_request_bytes - request.size());
    const auto count = ::recv(client->second.connection.raw(), bytes.data(), room, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0 && request.empty()) return drop(client);  // looked whether a daemon listens
    if (count <= 0) return reject(client, "the request ended before its line did");
    request.append(bytes.data(), static_cast<std::size_t>(count));
    const auto end = request.find('\n');
    if (end != std::string::npos) return serve(client, std::string_view(request).substr(0, end));
    if (request.size() >= limits_.most_request_bytes)
        reject(client, "a request has at most " + std::to_string(limits_.most_request_bytes) + " bytes");
}

void ControlSocket::State::serve(Entry client, std::string_view line)
{
    const auto request = parse_control_request(line);
    if (!request) return reject(client, "a request is one line, {\"command\":\"status\"}");
    if (pending() >= limits_.most_pending_bytes) {
        ++statistics_.refused;
        return respond(client, control_error_line("busy", "other answers are not read yet"));
    }
    respond(client, control_answer_line(answer_(request->command, request->arguments)));
}

void ControlSocket::State::reject(Entry client, const std::string& what)
{
    ++statistics_.malformed;
    respond(client, control_error_line("malformed", what));
}

void ControlSocket::State::respond(Entry client, std::string answer)
{
    client->second.answer = std::move(answer);
    client->second.deadline_ns = monotonic_ns() + limits_.patience_ns;
    const auto number = client->first;
    auto watch =
        reactor_.watch(client->second.connection.raw(), Reactor::Ready::writable, [this, number] { write(number); });
    if (!watch) return drop(client);
    client->second.watch = std::move(*watch);
    set_timer();
    write(number);
}

void ControlSocket::State::write(std::uint64_t number)
{
    const auto client = clients_.find(number);
    if (client == clients_.end()) return;
    auto& [connection, deadline_ns, request, answer, written, watch] = client->second;
    const auto sent = send_some(connection.raw(), std::string_view(answer).substr(written));
    if (sent > 0) written += static_cast<std::size_t>(sent);
    if (written == answer.size()) ++statistics_.answered;
    if (sent < 0 || written == answer.size()) drop(client);
}

void ControlSocket::State::drop(Entry client)
{
    clients_.erase(client);
    set_timer();
}

std::size_t ControlSocket::State::pending() const
{
    std::size_t bytes = 0;
    for (const auto& [number, client] : clients_) bytes += client.pending();
    return bytes;
}

void ControlSocket::State::expire()
{
    std::uint64_t times = 0;
    if (::read(timer_.raw(), &times, sizeof times) < 0) return;
    const auto now = monotonic_ns();
    std::erase_if(clients_, [&](const auto& numbered) {
        const auto& client = numbered.second;
        if (client.deadline_ns > now) return false;
        ++statistics_.timed_out;
        if (client.answer.empty())
            (void)send_some(client.connection.raw(), control_error_line("timed_out", "no request came in time"));
        return true;
    });
    // Without a descriptor to watch it with, it is tried again a window later.
    if (paused_ && window_end_ns_ <= now && !listen()) window_end_ns_ = now + limits_.accept_window_ns;
    set_timer();
}

// Disarmed while there is neither a client nor a pause: an idle daemon is not woken.
void ControlSocket::State::set_timer()
{
    std::uint64_t next = paused_ ? window_end_ns_ : UINT64_MAX;
    for (const auto& [number, client] : clients_) next = std::min(next, client.deadline_ns);
    itimerspec setting = {};
    if (next != UINT64_MAX) {
        setting.it_value.tv_sec = static_cast<time_t>(next / ns_per_second);
        setting.it_value.tv_nsec = static_cast<long>(next % ns_per_second);
    }
    ::timerfd_settime(timer_.raw(), TFD_TIMER_ABSTIME, &setting, nullptr);
}

Result<ControlSocket> ControlSocket::open(const std::string& path, Reactor& reactor, Answer answer,
                                          ControlLimits limits)
{
    auto address = ControlAddress::open(path);
    if (!address) return address.error();
    Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!timer) return errno_error(ExitCode::failed, "timerfd_create");
    auto state = std::make_unique<State>(std::move(*address), std::move(timer), reactor, std::move(answer), limits);
    if (auto started = state->start(); !started) return started.error();
    return ControlSocket(std::move(state));
}

ControlSocket::ControlSocket(std::unique_ptr<State> state) : state_(std::move(state))
{
}
ControlSocket::ControlSocket(ControlSocket&&) noexcept = default;
ControlSocket& ControlSocket::operator=(ControlSocket&&) noexcept = default;
ControlSocket::~ControlSocket() = default;

ControlStatistics ControlSocket::statistics() const
{
    return state_->statistics();
}

std::size_t ControlSocket::clients() const
{
    return state_->clients();
}

}  // namespace loopwatch
