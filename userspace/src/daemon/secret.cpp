// SPDX-License-Identifier: Apache-2.0
#include "daemon/secret.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "util/fd.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t most_secret_bytes = 65'536;

Error bad_secret(std::string what, std::string hint)
{
    return {ExitCode::usage, std::move(what), std::move(hint)};
}

Result<std::string> trimmed_secret(std::string secret, std::string_view place)
{
    while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
    if (secret.empty()) return bad_secret(fmt::format("the secret in {} is empty", place), "");
    return secret;
}

Result<std::string> secret_of_file(const std::string& path)
{
    // A FIFO without a writer would be waited for.
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status = {};
    if (!file || ::fstat(file.raw(), &status) != 0)
        return errno_error(ExitCode::usage, fmt::format("cannot read the secret in {}", path));
    if (!S_ISREG(status.st_mode)) return bad_secret(fmt::format("{} is no regular file", path), "");
    if ((status.st_mode & 0077) != 0)
        return bad_secret(
            fmt::format("the secret in {} may be read or written by others: mode {:04o}", path, status.st_mode & 07777),
            fmt::format("chmod 600 {}", path));
    if (status.st_uid != 0 && status.st_uid != ::geteuid())
        return bad_secret(fmt::format("the secret in {} belongs to user {}", path, status.st_uid),
                          fmt::format("chown {} {}", ::geteuid(), path));
    std::string secret(most_secret_bytes + 1, '\0');
    const auto got = ::read(file.raw(), secret.data(), secret.size());
    if (got < 0) return errno_error(ExitCode::usage, fmt::format("cannot read the secret in {}", path));
    if (static_cast<std::size_t>(got) > most_secret_bytes)
        return bad_secret(fmt::format("the secret in {} is longer than 64 KiB", path), "");
    secret.resize(static_cast<std::size_t>(got));
    return trimmed_secret(std::move(secret), path);
}

}  // namespace

Result<std::string> read_secret(std::string_view place)
{
    if (!place.starts_with("env:")) {
        if (!place.starts_with('/'))
            return bad_secret("a secret is never written here", "write env:NAME, or the absolute path of its file");
        return secret_of_file(std::string(place));
    }
    const std::string name(place.substr(4));
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr)
        return bad_secret(fmt::format("the environment has no {}", name), "set it, or write the path of a file");
    return trimmed_secret(value, place);
}

}  // namespace loopwatch
