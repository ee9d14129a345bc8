// SPDX-License-Identifier: Apache-2.0
//
// order_server: an HTTP server with everything that blocks event loops in production, and the cure of each beside it.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

#include "endpoints.hpp"
#include "options.hpp"
#include "server.hpp"

namespace {

// A directory on a disk, for fsync to mean something: /var/tmp is never a tmpfs (FHS 3.0 §5.15), /tmp often is.
class OwnDirectory {
public:
    OwnDirectory()
    {
        if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path_);
    }
    ~OwnDirectory()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    OwnDirectory(const OwnDirectory&) = delete;
    OwnDirectory& operator=(const OwnDirectory&) = delete;
    const std::string& path() const noexcept { return path_; }

private:
    std::string path_ = "/var/tmp/order_server.XXXXXX";
};

void serve(const Options& options)
{
    std::optional<OwnDirectory> own;
    shop::Shop shop(options.directory.empty() ? own.emplace().path() : options.directory);
    shop::Server server(shop, options.port, options.loops);
    std::cout << "listening on 127.0.0.1:" << server.port() << std::endl;
    server.run();
}

}  // namespace

int main(int argc, char** argv)
{
    Options options;
    if (const std::optional<int> status = parse(argc, argv, options)) return *status;
    std::signal(SIGPIPE, SIG_IGN);  // a write to a closed pipe is an error of that write
    try {
        serve(options);
    } catch (const std::exception& error) {
        std::cerr << "order_server: " << error.what() << '\n';
        return 1;
    }
}
