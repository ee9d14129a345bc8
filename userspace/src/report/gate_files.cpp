// SPDX-License-Identifier: Apache-2.0
#include "report/gate_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>

#include "output/output.hpp"
#include "util/fd.hpp"
#include "util/log.hpp"
#include "util/text.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_file_bytes = 16u << 20;

Result<std::string> read_file(const char* option, const std::string& path)
{
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info = {};
    if (!file || ::fstat(file.raw(), &info) != 0)
        return errno_error(ExitCode::usage, fmt::format("{}: cannot read {}", option, path));
    if (!S_ISREG(info.st_mode) || static_cast<std::size_t>(info.st_size) > max_file_bytes)
        return Error{ExitCode::usage, fmt::format("{}: {} is no file of up to 16 MiB", option, path), ""};
    std::string text(static_cast<std::size_t>(info.st_size), '\0');
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t got = ::read(file.raw(), text.data() + done, text.size() - done);
        if (got <= 0) break;
        done += static_cast<std::size_t>(got);
    }
    text.resize(done);
    return text;
}

// They are for others to read: a baseline is kept with the sources, and CI takes the reports.
constexpr mode_t file_mode = 0666;

Result<void> write_file(const std::string& path, const std::string& text)
{
    auto output = Output::open(path, file_mode);
    if (!output) return output.error();
    return output->write_lines(text);
}

// Nothing of it is changed. Empty: none is wanted, or stdout.
Result<void> may_write(const std::string& path)
{
    if (path.empty()) return {};
    struct stat info = {};
    const bool is_new = ::stat(path.c_str(), &info) != 0;
    auto output = Output::open(path);
    if (!output) return output.error();
    if (is_new) ::unlink(path.c_str());
    return {};
}

void tell(const std::string& file, const std::vector<Suppressions::Rule>& rules)
{
    for (const auto& rule : rules) {
        const auto hits = rule.expired ? "has expired, and is passed over"
                          : rule.hits != 0
                              ? fmt::format("decided on {} finding{}", rule.hits, rule.hits == 1 ? "" : "s")
                          : rule.inner.empty() ? "was never needed"
                                               : "decided on none itself";
        fmt::print(stderr, "loopwatch: {}:{}: {}: \"{}\"\n", file, rule.line, hits, rule.text);
        tell(file, rule.inner);
    }
}

// What is part of an event that is printed already: the calls and stalls of a slow callback.
void erase_repeated(std::vector<Failure>& failures)
{
    const auto rank = [](const Failure& failure) {
        return failure.type == "slow_callback"   ? 0
               : failure.type == "stall"         ? 1
               : failure.type == "blocking_call" ? 2
                                                 : 3;
    };
    Incidents printed[3];
    for (const auto& failure : failures)
        for (int type = rank(failure); type < 2; ++type) printed[type].add(failure.incidents);
    std::erase_if(failures, [&](const Failure& failure) {
        const int type = rank(failure);
        return (type == 1 || type == 2) && failure.incidents.within(printed[type - 1]);
    });
}

// Why the exit code is what it is: what else was printed may be megabytes away, or in a file. What is no finding is an
// error, which main prints.
void print_failures(std::vector<Failure> failures)
{
    constexpr std::size_t most = 5;
    std::erase_if(failures, [](const Failure& failure) { return failure.type == "no_loop_watched"; });
    erase_repeated(failures);
    for (const auto& failure : std::span(failures).first(std::min(failures.size(), most)))
        fmt::print(stderr, "loopwatch: --fail-on: {}{}: {}\n", failure.type,
                   failure.count > 1 ? fmt::format(" ×{}", failure.count) : "", escape_terminal(failure.verdict));
    if (failures.size() > most) fmt::print(stderr, "loopwatch: --fail-on: and {} more\n", failures.size() - most);
}

}  // namespace

Result<Gate> open_gate(const GateOptions& options)
{
    Gate gate;
    gate.fail_on = options.fail_on;
    if (!options.suppressions.empty()) {
        const auto text = read_file("--suppressions", options.suppressions);
        if (!text) return text.error();
        std::optional<Suppressions::Problem> problem;
        gate.suppressions = Suppressions::parse(*text, today(), problem);
        if (problem)
            return Error{
                ExitCode::usage,
                fmt::format("{}:{}:{}: {}", options.suppressions, problem->line, problem->column, problem->what), ""};
    }
    if (!options.baseline.empty()) {
        const auto text = read_file("--baseline", options.baseline);
        if (!text) return text.error();
        std::string what;
        gate.baseline = Baseline::parse(*text, what);
        if (!gate.baseline)
            return Error{ExitCode::usage, fmt::format("{}:{}", options.baseline, what),
                         "--write-baseline FILE writes one"};
    }
    // Not only after hours of tests.
    for (const auto& wish : options.reports)
        if (auto usable = may_write(wish.file); !usable) return usable.error();
    if (auto usable = may_write(options.write_baseline); !usable) return usable.error();
    return gate;
}

Result<void> close_gate(const GateOptions& options, const Gate& gate, const std::string& name,
                        const Completeness& completeness)
{
    if (!options.suppressions.empty()) tell(options.suppressions, gate.suppressions.rules());
    print_failures(gate.failures());
    if (!options.baseline.empty()) fmt::print(stderr, "loopwatch: excused by the baseline: {}\n", gate.excused());
    if (!options.fail_on.empty() && completeness.level == "findings_missing")
        fmt::print(stderr, "loopwatch: --fail-on: findings may be missing: {}\n", completeness.reason);
    if (!options.write_baseline.empty() && gate.placeless() != 0)
        fmt::print(stderr,
                   "loopwatch: {}: {} finding{} left out, as the place in the program is not known (no stack with "
                   "names)\n",
                   options.write_baseline, gate.placeless(), gate.placeless() == 1 ? " is" : "s are");
    if (!options.write_baseline.empty())
        if (auto written = write_file(options.write_baseline, gate.seen().text()); !written) return written;
    char* const directory = ::get_current_dir_name();
    const std::string here = directory ? directory : "";
    std::free(directory);
    for (const auto& wish : options.reports) {
        const auto text = report_text(wish.format, gate.failures(), name, here);
        if (auto written = write_file(wish.file.empty() ? "-" : wish.file, text); !written) return written;
    }
    return {};
}

Error nothing_watched(const std::string& name)
{
    return {
        ExitCode::not_permitted,
        fmt::format("--fail-on: no event loop of {} was ever watched, so nothing could be found", name),
        "did it run long enough? The report's warnings say what could not be seen; loopwatch doctor -p PID what can"};
}

}  // namespace loopwatch
