// SPDX-License-Identifier: Apache-2.0
#include "command/control_client.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <fmt/format.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "util/fd.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

constexpr const char* start_hint = "start it: systemctl start loopwatch, or sudo loopwatch daemon";
constexpr const char* group_hint = "as root, or as a member of the group loopwatch: usermod -aG loopwatch USER";
constexpr std::size_t most_answer_bytes = 256u << 20;  // the daemon's own limit is 64 MiB of answers at once
constexpr timeval answer_patience = {10, 0};           // the daemon waits 5 s for each side

Error connect_error(const std::string& path)
{
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
        return {ExitCode::no_such_target, "no loopwatch daemon answers at " + path, start_hint};
    if (errno == EACCES || errno == EPERM) return errno_error(ExitCode::not_permitted, path, group_hint);
    return errno_error(ExitCode::failed, path);
}

Result<Fd> connect_to_daemon(const std::string& path)
{
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error{ExitCode::usage, "--socket: \"" + path + "\" is longer than 107 bytes", {}};
    path.copy(address.sun_path, path.size());
    Fd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!connection) return errno_error(ExitCode::failed, "socket");
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        ::setsockopt(connection.raw(), SOL_SOCKET, option, &answer_patience, sizeof answer_patience);
    const auto* const generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (::connect(connection.raw(), generic, sizeof address) != 0) return connect_error(path);
    return connection;
}

// What came before the end, or before a reset: a daemon that refuses a client does not read its request.
Result<std::string> read_answer(int connection)
{
    std::string answer;
    std::array<char, 1u << 16> bytes;
    while (answer.size() <= most_answer_bytes) {
        const auto count = ::recv(connection, bytes.data(), bytes.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN)
            return Error{ExitCode::failed, "the daemon has not answered within 10 s", "loopwatch status"};
        if (count <= 0) return answer;
        answer.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return Error{ExitCode::failed, "the daemon's answer is above 256 MiB", {}};
}

Result<nlohmann::json> parse_answer(const std::string& text)
{
    auto answer = nlohmann::json::parse(text, nullptr, false);
    if (!answer.is_object() || !text.ends_with('\n'))
        return Error{ExitCode::failed, "the daemon's answer is not complete",
                     "its log says why: journalctl -u loopwatch"};
    const auto error = answer.find("error");
    if (error == answer.end()) return answer;
    const auto text_of = [&](const char* key) {
        return answer.contains(key) && answer[key].is_string() ? answer[key].get<std::string>() : std::string();
    };
    // All of a configuration's.
    if (const auto errors = answer.find("errors"); errors != answer.end())
        for (const auto& one : *errors)
            if (one.is_string()) fmt::print(stderr, "{}\n", escape_terminal(one.get<std::string>()));
    const auto what = "daemon: " + (error->is_string() ? error->get<std::string>() : error->dump());
    if (text_of("kind") == "not_permitted") return Error{ExitCode::not_permitted, what, group_hint};
    return Error{ExitCode::failed, what, text_of("hint")};
}

}  // namespace

Result<nlohmann::json> ask_daemon(const std::string& socket_path, const std::string& command, nlohmann::json arguments)
{
    auto connection = connect_to_daemon(socket_path);
    if (!connection) return connection.error();
    arguments["command"] = command;
    const auto request = arguments.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    // Of a connection that the daemon has ended already the answer can be read all the same.
    const auto sent = ::send(connection->raw(), request.data(), request.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET) return errno_error(ExitCode::failed, "send to the daemon");
    auto answer = read_answer(connection->raw());
    if (!answer) return answer.error();
    return parse_answer(*answer);
}

}  // namespace loopwatch
