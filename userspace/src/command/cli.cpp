// SPDX-License-Identifier: Apache-2.0
#include "command/cli.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "analysis/kind.hpp"
#include "output/schema.hpp"
#include "util/duration.hpp"

namespace loopwatch {
namespace {

constexpr const char* description =
    "loopwatch tells what blocked the event loop of a running C++ coroutine server: which callback, whose task, which "
    "call, "
    "which line.";

constexpr const char* footer = R"(
Examples:
  sudo loopwatch -p 4711                         watch a process until Ctrl-C
  sudo loopwatch -n order_server --duration 30s  watch by name, for half a minute
  sudo loopwatch -p 4711 --threshold 20ms        report callbacks from 20 ms on
  sudo loopwatch -p 4711 -o report.ndjson        one JSON object a line, for scripts (see: loopwatch schema)
  sudo loopwatch -p 4711 --duration 1m --fail-on slow_callback && echo clean
  loopwatch run -- ./server --port 8080          start a program and watch it from inside, as any user
  loopwatch ps -p 4711                           its tasks: where each stands (tree: who awaits whom)
  loopwatch doctor -p 4711                       what works here, what does not, and what mends it

Durations carry a unit: 50us, 10ms, 1.5s, 2m.
Exit codes: 0 done, 1 failed, 2 usage, 3 --fail-on matched, 4 not permitted or not supported here, 5 no such target.
run ends as its program does (128 + the signal that ended it), or with 3; 2 and 5 only if the program was not started; 4 then, and with --fail-on if
no event loop was ever watched.)";

// What CLI11 collects. Values stay text until parse_values(), so that each error is worded here.
struct Raw {
    std::vector<std::string> pids, tids, fail_on, reports, command_line;
    std::optional<std::string> name, threshold, block_threshold, duration, interval, max_overhead, max_loops, max_frame,
        format, output, attach, suppressions, baseline, write_baseline, state, sort, task;
    bool inside = false, trace = false, debug = false, coroutines = false, follow_children = false,
         kernel_stacks = false, quiet = false, no_color = false, repeat = false, lint = false, wait = false;
};

void add_options(CLI::App& app, Raw& raw)
{
    const auto list = [&](const char* names, std::vector<std::string>& target, const char* help, const char* value) {
        // One value an occurrence, or "-p 1 doctor" would take the command for a pid.
        app.add_option(names, target, help)->delimiter(',')->type_name(value)->allow_extra_args(false);
    };
    const auto value = [&](const char* names, std::optional<std::string>& target, const char* help, const char* type) {
        return app.add_option(names, target, help)->type_name(type);
    };
    list("-p,--pid", raw.pids, "Processes to watch", "PID[,PID...]");
    value("-n,--name", raw.name, "Watch the processes of this exact name, those that start later too", "NAME");
    app.add_flag("--wait", raw.wait, "-n: wait for the first of them");
    value("--threshold", raw.threshold, "Report callbacks that hold the loop at least so long (100ms)", "DUR");
    value("--block-threshold", raw.block_threshold, "Report single blocking calls from here on (10ms)", "DUR");
    value("--duration", raw.duration, "End after this time (when the target ends)", "DUR");
    value("--format", raw.format, "auto: text on a terminal, ndjson otherwise; chrome: for ui.perfetto.dev",
          "auto|text|ndjson|chrome");
    value("-o,--output", raw.output, "Write to a file, device or FIFO, - for stdout (run: to stderr)", "FILE");
    app.add_flag("--trace", raw.trace, "Also each step of each task; costs more");
    app.add_flag("--debug", raw.debug, "Also wrong threads, leaks, slow polls, and where exceptions are thrown");
    app.add_flag("--coroutines", raw.coroutines, "Without probes: single resumes of C++20 coroutines; each costs");
    value("--max-overhead", raw.max_overhead,
          "--trace, --coroutines and --debug step down above this share of a CPU (2)", "PCT");
    value("--interval", raw.interval, "Statistics every so often (1s)", "DUR");
    list("--tid", raw.tids, "Only loops of this thread; repeatable", "TID");
    app.add_flag("--follow-children", raw.follow_children, "Also the processes they have forked, and will");
    app.add_flag("--kernel-stacks", raw.kernel_stacks, "Also the kernel's stacks, about 3 us each");
    list("--fail-on", raw.fail_on, "Exit with 3 if such a finding was made", "TYPE[:KIND][,...]");
    value("--suppressions", raw.suppressions, "Rules for what is known and not to be told", "FILE");
    value("--baseline", raw.baseline, "What stands in it fails only if it takes twice as long", "FILE");
    value("--write-baseline", raw.write_baseline, "Write what was found, for --baseline", "FILE");
    list("--report", raw.reports, "Write what failed, for other tools", "junit:FILE|sarif:FILE|github");
    value("--state", raw.state, "ps, tree: only tasks in this state", "STATE");
    value("--sort", raw.sort, "ps: by what (id)", "id|age|busy|resumes");
    app.add_flag("--lint", raw.lint, "ps: look again after --interval, and tell what is wrong with the tasks");
    value("--max-frame", raw.max_frame, "--lint: coroutine frames above this size (16384)", "BYTES");
    app.add_flag("--watch", raw.repeat, "ps, tree: again each --interval");
    value("--max-loops", raw.max_loops, "Loops to keep state for (64)", "N");
    app.add_flag("--quiet", raw.quiet, "Text: findings only");
    app.add_flag("--no-color", raw.no_color, "Text: no colours (also: NO_COLOR=1)");
    app.add_flag("--inside", raw.inside, "run: by the shim alone, as for users without rights");
    value("--attach", raw.attach, "", "multi|perf-all|perf-pid|none")->group("");
    // Options stand before or behind the command.
    for (const auto& [name, help] : {std::pair("watch", "Report what blocks the loops of a process (the default)"),
                                     std::pair("doctor", "Say what works here and what does not"),
                                     std::pair("schema", "Print the JSON Schema of the ndjson output"),
                                     std::pair("ps", "List the tasks of a process"),
                                     std::pair("tree", "Draw where they stand, and who awaits whom")}) {
        app.add_subcommand(name, help)->fallthrough();
    }
    app.add_subcommand("where", "Tell all of one task")
        ->fallthrough()
        ->add_option("TASK", raw.task, "")
        ->type_name("ID");
    app.add_subcommand("run", "Start a program with the shim in it, and report what blocks its loops")
        ->fallthrough()
        ->add_option("CMD", raw.command_line, "");
    app.require_subcommand(0, 1);
    app.set_version_flag("--version", "loopwatch " LOOPWATCH_VERSION);
    app.footer(footer);
}

// Collects the first error, so that the values read as a list.
class Values {
public:
    using Text = std::optional<std::string>;  // empty: the option was not given

    void duration(const char* option, const Text& text, std::uint64_t& target, std::string_view likely_unit = "ms")
    {
        if (!text || error_) return;
        auto parsed = parse_duration(*text, likely_unit);
        if (parsed)
            target = *parsed;
        else
            fail(option, parsed.error().what, parsed.error().hint);
    }

    template <class Number>
    void number(const char* option, const Text& text, Number least, Number most, const char* hint, Number& target)
    {
        if (!text || error_) return;
        Number value{};
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
        const bool good = error == std::errc{} && end == text->data() + text->size() && value >= least && value <= most;
        if (good)
            target = value;
        else
            fail(option, fmt::format("bad value \"{}\"", *text), hint);
    }

    void ids(const char* option, const std::vector<std::string>& texts, std::vector<pid_t>& target)
    {
        for (const std::string& text : texts) {
            pid_t id = 0;
            number<pid_t>(option, text, 1, std::numeric_limits<pid_t>::max(), "numbers, as ps shows them", id);
            if (!error_ && std::ranges::find(target, id) == target.end()) target.push_back(id);
        }
    }

    template <class Choice>
    void choice(const char* option, const Text& text, std::initializer_list<std::pair<const char*, Choice>> choices,
                Choice& target)
    {
        if (!text || error_) return;
        for (const auto& [name, value] : choices) {
            if (*text == name) {
                target = value;
                return;
            }
        }
        std::vector<std::string_view> names;
        for (const auto& [name, value] : choices) names.push_back(name);
        fail(option, fmt::format("bad value \"{}\"", *text), fmt::format("one of {}", fmt::join(names, ", ")));
    }

    void check(bool good, const char* option, std::string what, std::string hint)
    {
        if (!good && !error_) fail(option, std::move(what), std::move(hint));
    }

    const std::optional<Error>& error() const { return error_; }

private:
    void fail(std::string_view option, std::string_view what, std::string hint)
    {
        error_ = Error{ExitCode::usage, fmt::format("{}: {}", option, what), std::move(hint)};
    }

    std::optional<Error> error_;
};

void parse_fail_on(const std::string& text, Values& values, Options& options)
{
    const auto types = finding_types();
    const auto colon = text.find(':');
    FailOn wish{text.substr(0, colon), std::nullopt};
    values.check(std::ranges::find(types, wish.type) != types.end(), "--fail-on",
                 fmt::format("\"{}\" is no finding", wish.type), fmt::format("one of {}", fmt::join(types, ", ")));
    if (colon != std::string::npos) {
        wish.kind = kind_named(std::string_view(text).substr(colon + 1));
        values.check(
            wish.kind.has_value(), "--fail-on", fmt::format("\"{}\" is no kind", text.substr(colon + 1)),
            "one of cpu, sleep, lock, file_io, file_lock, pipe, network, dns, process, nested_wait, page_fault, "
            "io_uring, run_queue, cpu_throttle, stopped, other");
    }
    options.fail_on.push_back(std::move(wish));
}

void parse_choices(const Raw& raw, Values& values, Options& options)
{
    values.choice<Format>(
        "--format", raw.format,
        {{"auto", Format::automatic}, {"text", Format::text}, {"ndjson", Format::ndjson}, {"chrome", Format::chrome}},
        options.format);
    values.choice<AttachMode>("--attach", raw.attach,
                              {{"multi", AttachMode::multi},
                               {"perf-all", AttachMode::perf_all},
                               {"perf-pid", AttachMode::perf_pid},
                               {"none", AttachMode::none}},
                              options.attach);
    for (const std::string& text : raw.fail_on) parse_fail_on(text, values, options);
    for (const std::string& text : raw.reports) {
        const auto wish = parse_report(text);
        values.check(wish.has_value(), "--report", fmt::format("bad value \"{}\"", text),
                     "one of junit:FILE, sarif:FILE, github");
        if (wish) options.reports.push_back(*wish);
    }
}

Result<Options> parse_values(const Raw& raw, Command command)
{
    Options options;
    options.command = command;
    Values values;
    values.ids("--pid", raw.pids, options.pids);
    values.ids("--tid", raw.tids, options.tids);
    values.duration("--threshold", raw.threshold, options.threshold_ns);
    values.duration("--block-threshold", raw.block_threshold, options.block_threshold_ns);
    values.duration("--interval", raw.interval, options.interval_ns, "s");
    if (raw.duration) values.duration("--duration", raw.duration, options.duration_ns.emplace(), "s");
    // Shorter ones would measure the reader of the report.
    values.check(options.interval_ns >= 100'000'000, "--interval",
                 fmt::format("\"{}\" is too short", raw.interval.value_or("")), "at least 100ms");
    values.number<double>("--max-overhead", raw.max_overhead, 0.01, 100, "percent of a CPU, 0.01 to 100",
                          options.max_overhead_percent);
    values.number<std::uint32_t>("--max-loops", raw.max_loops, 1, 4096, "1 to 4096", options.max_loops);
    values.number<std::uint64_t>("--max-frame", raw.max_frame, 1, 1u << 30, "bytes, 1 to 1073741824",
                                 options.max_frame);
    values.check(!raw.max_frame || raw.lint, "--max-frame", "only --lint looks at frames",
                 "loopwatch ps --lint -p PID");
    parse_choices(raw, values, options);
    values.check(raw.pids.empty() || !raw.name, "--name", "not together with --pid", "give one of them");
    values.check(raw.name != "", "--name", "is empty", "the name of a process, as ps -o comm shows it");
    values.check(!raw.wait || (raw.name && command == Command::watch), "--wait", "waits for a process by its name",
                 "loopwatch -n NAME --wait");
    values.check(command != Command::run || !raw.command_line.empty(), "run", "no program given",
                 "loopwatch run [OPTIONS] -- PROGRAM [ARGUMENTS]");
    values.check(command != Command::run || (raw.pids.empty() && !raw.name), "run",
                 "it starts a program: no --pid or --name", "to watch one that runs: loopwatch -p PID");
    values.check(command != Command::run || raw.tids.empty(), "--tid", "threads of a program that is yet to be started",
                 "");
    for (const auto& [option, file] :
         {std::pair("--suppressions", &raw.suppressions), std::pair("--baseline", &raw.baseline),
          std::pair("--write-baseline", &raw.write_baseline), std::pair("--output", &raw.output)})
        values.check(*file != "", option, "is empty", "the name of a file");
    values.check(!raw.inside || command == Command::run, "--inside", "only run starts a program", "");
    values.check(!raw.inside || !(raw.trace || raw.debug || raw.coroutines || raw.kernel_stacks), "run",
                 "--trace, --debug, --coroutines and --kernel-stacks need the kernel side",
                 "without --inside, and with sudo");
    values.check(command != Command::watch || !raw.pids.empty() || raw.name, "watch", "no process given",
                 "loopwatch -p PID, or loopwatch -n NAME; loopwatch --help shows examples");
    const bool lists = command == Command::ps || command == Command::tree || command == Command::where;
    values.check(!lists || !raw.pids.empty() || raw.name, "--pid", "no process given", "loopwatch ps -p PID");
    values.check(!raw.sort || command == Command::ps, "--sort", "only ps lists tasks in an order", "");
    values.choice<TaskOrder>("--sort", raw.sort,
                             {{"id", TaskOrder::id},
                              {"age", TaskOrder::age},
                              {"busy", TaskOrder::busy},
                              {"cpu", TaskOrder::busy},
                              {"resumes", TaskOrder::resumes}},
                             options.order);
    values.check(!raw.repeat || command == Command::ps || command == Command::tree, "--watch",
                 "only ps and tree look again", "to watch what blocks a loop: loopwatch -p PID");
    options.repeat = raw.repeat;
    values.check(!raw.lint || command == Command::ps, "--lint", "only ps looks at tasks", "loopwatch ps --lint -p PID");
    options.lint = raw.lint;
    values.check(raw.format != "chrome" || command == Command::watch || command == Command::run, "--format",
                 "chrome is a trace, which only watch and run make", "");
    values.check(!raw.state || command == Command::ps || command == Command::tree, "--state",
                 "only ps and tree list tasks", "");
    values.choice<std::string>("--state", raw.state,
                               {{"created", "created"},
                                {"running", "running"},
                                {"suspended", "suspended"},
                                {"ready", "ready"},
                                {"finished", "finished"}},
                               options.state);
    values.check(command != Command::where || raw.task, "where", "no task given", "loopwatch where -p PID ID");
    // As it is shown, "save#17", or its number alone.
    auto task = raw.task;
    if (task) {
        const auto number = task->rfind('#') + 1;
        options.task_name = number == 0 ? "" : task->substr(0, number - 1);
        task->erase(0, number);
    }
    values.number<std::uint64_t>("where", task, 1, std::numeric_limits<std::uint64_t>::max(),
                                 "the task's number, as ps shows it behind the #", options.task);
    values.check(command == Command::run || raw.command_line.empty(), "--", "only run starts a program",
                 "loopwatch run [OPTIONS] -- PROGRAM [ARGUMENTS]");
    if (values.error()) return *values.error();
    options.name = raw.name.value_or("");
    options.wait = raw.wait;
    options.command_line = raw.command_line;
    options.inside = raw.inside;
    // The program's own output goes to stdout.
    options.suppressions = raw.suppressions.value_or("");
    options.baseline = raw.baseline.value_or("");
    options.write_baseline = raw.write_baseline.value_or("");
    options.output = raw.output.value_or(command == Command::run ? "/dev/stderr" : options.output);
    // As strace and perf stat do: what stands among the program's own messages is for people.
    if (command == Command::run && !raw.output && options.format == Format::automatic) options.format = Format::text;
    options.trace = raw.trace;
    options.debug = raw.debug;
    options.coroutines = raw.coroutines;
    options.follow_children = raw.follow_children;
    options.kernel_stacks = raw.kernel_stacks;
    options.quiet = raw.quiet;
    options.no_color = raw.no_color;
    return options;
}

// Once a command was read, CLI11 would show that command's help, which has no options of its own.
std::string help_text()
{
    CLI::App app(description, "loopwatch");
    Raw raw;
    add_options(app, raw);
    return app.help();
}

// Neither an option nor a number.
bool is_word(const std::string& text)
{
    return !text.empty() && std::isalpha(static_cast<unsigned char>(text[0]));
}

bool is_format(const std::string& text)
{
    return text == "text" || text == "ndjson" || text == "chrome";
}

std::string command_names(const CLI::App& app)
{
    std::string names;
    for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names += (names.empty() ? "" : ", ") + command->get_name();
    return names;
}

Error usage_error(const CLI::ParseError& error, bool lacks_dashes)
{
    std::string what = error.what();
    std::ranges::replace(what, '\n', ' ');
    return {ExitCode::usage, std::move(what),
            lacks_dashes ? "put -- before the program: loopwatch run [OPTIONS] -- PROGRAM [ARGUMENTS]"
                         : "loopwatch --help lists the options"};
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv)
{
    CLI::App app(description, "loopwatch");
    Raw raw;
    add_options(app, raw);
    // What stands behind "--" is the program's, whatever it looks like.
    const auto* const end =
        std::find_if(argv, argv + argc, [](const char* word) { return word == std::string_view("--"); });
    try {
        app.parse(static_cast<int>(end - argv), argv);
        if (end != argv + argc) raw.command_line.insert(raw.command_line.end(), end + 1, argv + argc);
    } catch (const CLI::CallForHelp&) {
        return CommandLine{{}, help_text()};
    } catch (const CLI::CallForVersion& version) {
        return CommandLine{{}, std::string(version.what()) + "\n"};
    } catch (const CLI::ExtrasError& error) {
        const auto extras = app.remaining(true);
        if (app.get_subcommands().empty() && !extras.empty() && is_word(extras[0]))
            return Error{ExitCode::usage, fmt::format("\"{}\" is no command", extras[0]),
                         is_format(extras[0])
                             ? fmt::format("did you mean --format {}?", extras[0])
                             : fmt::format("the commands are {}; loopwatch --help shows examples", command_names(app))};
        const bool is_number =
            !extras.empty() && !extras[0].empty() && extras[0].find_first_not_of("0123456789") == std::string::npos;
        auto failure = usage_error(error, app.got_subcommand("run") && end == argv + argc);
        // As it was typed: CLI11 lists them from the last to the first.
        if (!extras.empty() && extras[0].starts_with('-')) failure.what = extras[0] + ": no such option";
        if (is_number && !app.got_subcommand("run")) failure.hint = fmt::format("did you mean -p {}?", extras[0]);
        return failure;
    } catch (const CLI::ParseError& error) {
        return usage_error(error, app.got_subcommand("run") && end == argv + argc);
    }
    const Command command = app.got_subcommand("run")      ? Command::run
                            : app.got_subcommand("doctor") ? Command::doctor
                            : app.got_subcommand("schema") ? Command::schema
                            : app.got_subcommand("ps")     ? Command::ps
                            : app.got_subcommand("tree")   ? Command::tree
                            : app.got_subcommand("where")  ? Command::where
                                                           : Command::watch;
    auto options = parse_values(raw, command);
    if (!options) return options.error();
    return CommandLine{std::move(*options), std::nullopt};
}

}  // namespace loopwatch
