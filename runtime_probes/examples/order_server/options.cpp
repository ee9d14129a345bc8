// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <iostream>

#include <CLI/CLI.hpp>

std::optional<int> parse(int argc, char** argv, Options& options)
{
    CLI::App app("An HTTP server that shows what blocks an event loop", "order_server");
    app.add_option("--port", options.port, "TCP port on 127.0.0.1; 0: any that is free")->check(CLI::Range(0, 65535));
    app.add_option("--loops", options.loops, "event loops, each in a thread of its own")->check(CLI::Range(1, 64));
    app.add_option("--data", options.directory,
                   "directory of the order log (default: one of its own, removed at the end)");
    app.footer(
        "GET /fsync /lock /cpu /dns /sleep /log hold their loop for 100 ms and more; /ok/fsync and so on do the same\n"
        "and do not. GET / and /order and POST /order {\"article\": \"bolt-m8\", \"quantity\": 3} are fast.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        std::cerr << "order_server: " << error.what() << '\n';
        return 2;
    }
    return std::nullopt;
}
