// SPDX-License-Identifier: Apache-2.0
#include "command/cli.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

namespace loopwatch {

namespace {

constexpr const char* description =
    "loopwatch shows what blocked the event loop of a running C++ coroutine server: which callback, whose task, which "
    "call, which line.";

constexpr const char* examples = R"(
Examples:
  sudo loopwatch -p 4711                         watch a process until Ctrl-C
  sudo loopwatch -n order_server --duration 30s  watch by name, for half a minute
  sudo loopwatch -p 4711 --threshold 20ms        report callbacks from 20 ms on
  sudo loopwatch -p 4711 -o report.ndjson        one JSON object a line, for scripts (see: loopwatch schema)
  sudo loopwatch -p 4711 --duration 1m --fail-on slow_callback && echo clean
  loopwatch run -- ./server --port 8080          start a program and watch it from inside, as any user
  loopwatch ps -p 4711                           its tasks: where each is suspended (tree: who awaits whom)
  loopwatch doctor -p 4711                       what works here, what does not, and what mends it
)";

constexpr const char* footer = R"(
Durations carry a unit: 50us, 10ms, 1.5s, 2m.
Exit codes: 0 done, 1 failed, 2 usage, 3 --fail-on matched, 4 not permitted or not supported here, 5 no such target.
run ends as its program does (128 + the signal that ended it), or with 3; 2 and 5 only if the program was not started; 4 then, and with --fail-on if
no event loop was ever watched.)";

using Words = std::vector<std::string>;

struct Candidate {
    const CommandRow* row;
    std::unique_ptr<Command> command;
    std::unique_ptr<OptionParser> parser;
};

std::string general_footer()
{
    std::string text = "\nCommands (loopwatch COMMAND --help lists the options of each):\n";
    for (const auto& row : commands()) text += fmt::format("  {:<8} {}\n", row.name, row.help);
    return text + examples + footer;
}

// `named`: the command was given by its name.
Candidate candidate_of(const CommandRow& row, bool named)
{
    Candidate candidate{&row, row.make(), nullptr};
    candidate.parser = named ? std::make_unique<OptionParser>(fmt::format("loopwatch {}", row.name), row.help, footer)
                             : std::make_unique<OptionParser>("loopwatch", description, general_footer());
    candidate.command->add_options(*candidate.parser);
    return candidate;
}

const CommandRow* row_named(std::string_view word)
{
    const auto row = std::ranges::find_if(commands(), [&](const CommandRow& each) { return each.name == word; });
    return row == commands().end() ? nullptr : &*row;
}

std::string command_names()
{
    Words names;
    for (const auto& row : commands()) names.emplace_back(row.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

// Where the command stands among the words: the first that is neither an option nor an option's value, if it is one.
std::size_t find_command(const Words& words)
{
    std::vector<Candidate> all;
    for (const auto& row : commands()) all.push_back(candidate_of(row, true));
    const auto takes_value = [&](const std::string& option) {
        return std::ranges::any_of(all, [&](const Candidate& each) { return each.parser->takes_value(option); });
    };
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (!words[i].starts_with('-')) return row_named(words[i]) != nullptr ? i : words.size();
        if (takes_value(words[i])) ++i;
    }
    return words.size();
}

std::string commands_with(std::string_view option)
{
    Words names;
    for (const auto& row : commands())
        if (candidate_of(row, true).parser->has(option)) names.emplace_back(row.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

bool is_number(const std::string& word)
{
    return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
}

bool is_format(std::string_view word)
{
    return word == "text" || word == "ndjson" || word == "chrome";
}

// A word that nothing takes.
Error error_of_extra(const std::string& word, const Candidate& candidate, bool named)
{
    const auto usage = [](std::string what, std::string hint) {
        return Error{ExitCode::usage, std::move(what), std::move(hint)};
    };
    if (word.starts_with('-')) {
        const auto others = commands_with(word.substr(0, word.find('=')));
        if (others.empty()) return usage(word + ": no such option", candidate.parser->usage_hint());
        return usage(fmt::format("{}: no option of {}", word, candidate.row->name), "an option of: " + others);
    }
    if (is_number(word)) return usage(word + ": not expected here", fmt::format("did you mean -p {}?", word));
    if (named && row_named(word) != nullptr)
        return usage(fmt::format("{} and {}: give one command", candidate.row->name, word), "loopwatch --help");
    if (named) return usage(word + ": not expected here", candidate.parser->usage_hint());
    return usage(fmt::format("\"{}\" is no command", word),
                 is_format(word)
                     ? fmt::format("did you mean --format {}?", word)
                     : fmt::format("the commands are {}; loopwatch --help shows examples", command_names()));
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv)
{
    // What is behind "--" belongs to a program, whatever it looks like.
    const auto* const end =
        std::find_if(argv, argv + argc, [](const char* word) { return word == std::string_view("--"); });
    Words words(argv + 1, end);
    const auto at = find_command(words);
    const bool named = at != words.size();
    auto candidate = candidate_of(named ? *row_named(words[at]) : commands().front(), named);
    if (named) words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
    const auto program = end == argv + argc ? std::nullopt : std::optional(Words(end + 1, argv + argc));
    auto text = candidate.parser->parse(words, program);
    if (!text) return text.error();
    if (*text) return CommandLine{nullptr, std::move(*text)};
    if (!candidate.parser->extras().empty())
        return error_of_extra(candidate.parser->extras().front(), candidate, named);
    return CommandLine{std::move(candidate.command), std::nullopt};
}

Result<int> run_command_line(int argc, const char* const* argv)
{
    auto line = parse_command_line(argc, argv);
    if (!line) return line.error();
    if (!line->text) return line->command->run();
    fmt::print("{}", *line->text);
    return 0;
}

}  // namespace loopwatch
