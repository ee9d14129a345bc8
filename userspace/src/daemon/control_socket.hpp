// SPDX-License-Identifier: Apache-2.0
//
// ControlSocket: answers commands to the daemon on a Unix socket. A client sends one line, {"command":"status",…}, and
// gets one JSON document and the end of the connection. Nothing here waits: it runs within Reactor::wait_until(), and
// slow or hostile clients cost bounded memory and time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "util/reactor.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct ControlLimits {
    std::size_t most_clients = 16;               // at once; more are refused with an answer
    std::uint64_t patience_ns = 5'000'000'000;   // for the request, and as long again to read the answer
    std::size_t most_request_bytes = 4096;       // with the end of its line
    std::size_t most_pending_bytes = 64u << 20;  // of answers that are not read yet; more are refused
    std::uint32_t most_accepts = 64;             // in each accept_window_ns; more wait
    std::uint64_t accept_window_ns = 1'000'000'000;
};

struct ControlStatistics {
    std::uint64_t accepted = 0;   // connections
    std::uint64_t answered = 0;   // whose answer was sent whole
    std::uint64_t refused = 0;    // not permitted, or too many at once
    std::uint64_t timed_out = 0;  // had no request in time, or did not read the answer
    std::uint64_t malformed = 0;  // no line of JSON with a command, too long, or ended within it
    std::uint64_t throttled = 0;  // windows in which more connected than are accepted
};

class ControlSocket {
public:
    // `arguments`: the request without its command. Called within Reactor::wait_until().
    using Answer = std::function<nlohmann::json(const std::string& command, const nlohmann::json& arguments)>;

    // The reactor outlives it. Fails as ControlAddress::open() does. Afterwards it makes no socket, and takes but
    // accept4().
    static Result<ControlSocket> open(const std::string& path, Reactor& reactor, Answer answer,
                                      ControlLimits limits = ControlLimits());

    ControlSocket(ControlSocket&&) noexcept;
    ControlSocket& operator=(ControlSocket&&) noexcept;
    ~ControlSocket();

    ControlStatistics statistics() const;
    std::size_t clients() const;

private:
    class State;
    explicit ControlSocket(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace loopwatch
