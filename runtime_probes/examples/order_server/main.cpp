// SPDX-License-Identifier: Apache-2.0
//
// order_server: an HTTP server with everything that blocks event loops in production, and the cure of each beside it.
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>

#include "endpoints.hpp"
#include "server.hpp"

namespace {

struct Options {
    std::uint16_t port = 0;
    std::size_t loops = 1;
    std::string directory;  // of the order log; empty: one of our own
};

void describe(CLI::App& app, Options& options)
{
    app.add_option("--port", options.port, "TCP port on 127.0.0.1; 0: any that is free")->check(CLI::Range(0, 65535));
    app.add_option("--loops", options.loops, "event loops, each in a thread of its own")->check(CLI::Range(1, 64));
    app.add_option("--data", options.directory,
                   "directory of the order log (default: one of its own, removed at the end)");
    app.footer(
        "GET /fsync /lock /cpu /dns /sleep /log hold their loop for 100 ms and more; /ok/fsync and so on do the same\n"
        "and do not. GET / and /order and POST /order {\"article\": \"bolt-m8\", \"quantity\": 3} are fast.");
}

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
    CLI::App app("An HTTP server that shows what blocks an event loop", "order_server");
    describe(app, options);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        std::cerr << "order_server: " << error.what() << '\n';
        return 2;
    }
    std::signal(SIGPIPE, SIG_IGN);  // a write to a closed pipe is an error of that write
    try {
        serve(options);
    } catch (const std::exception& error) {
        std::cerr << "order_server: " << error.what() << '\n';
        return 1;
    }
}
