// SPDX-License-Identifier: Apache-2.0
#include "command/option_parser.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "util/duration.hpp"

namespace loopwatch {

namespace {

// Leaves CLI11's parse, which knows no errors with hints.
struct BadOption {
    Error error;
};

Error usage_error(std::string what, std::string hint)
{
    std::ranges::replace(what, '\n', ' ');
    return {ExitCode::usage, std::move(what), std::move(hint)};
}

// CLI11's own delimiter drops what is empty: "-p 1," would be taken for "-p 1", where a second id got lost.
std::optional<BadValue> take_each(const TakeValue& take, const std::string& text)
{
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find(',', begin), text.size());
        if (begin == end && !text.empty())
            return BadValue{fmt::format("\"{}\" has an empty value", text), "one comma between two values"};
        if (auto bad = take(text.substr(begin, end - begin))) return bad;
        begin = end + 1;
    }
    return std::nullopt;
}

}  // namespace

struct OptionParser::App : CLI::App {
    using CLI::App::App;
};

OptionParser::OptionParser(const std::string& name, const std::string& description, const std::string& footer)
    : app_(std::make_unique<App>(description, name))
{
    app_->set_version_flag("--version", "loopwatch " LOOPWATCH_VERSION);
    app_->footer(footer);
    app_->allow_extras();
}

OptionParser::~OptionParser() = default;

void OptionParser::flag(const char* names, bool& target, const std::string& help)
{
    app_->add_flag(names, target, help);
}

void OptionParser::value(const char* names, TakeValue take, const std::string& help, const char* type)
{
    add(names, std::move(take), help, type, Occurs::once);
}

void OptionParser::repeated(const char* names, TakeValue take, const std::string& help, const char* type)
{
    add(names, std::move(take), help, type, Occurs::repeated);
}

void OptionParser::list(const char* names, TakeValue take, const std::string& help, const char* type)
{
    add(names, std::move(take), help, type, Occurs::listed);
}

void OptionParser::add(const char* names, TakeValue take, const std::string& help, const char* type, Occurs occurs)
{
    const std::string long_name = std::string(names).substr(std::string(names).rfind(',') + 1);
    const bool listed = occurs == Occurs::listed;
    const auto take_all = [take = std::move(take), long_name, listed](const std::vector<std::string>& texts) {
        for (const std::string& text : texts)
            if (auto bad = listed ? take_each(take, text) : take(text))
                throw BadOption{usage_error(long_name + ": " + bad->what, bad->hint)};
    };
    auto* option = app_->add_option_function<std::vector<std::string>>(names, take_all, help)->type_name(type);
    // One value an occurrence, or "-p 1 doctor" would take the command for a pid.
    option->allow_extra_args(false);
    if (occurs == Occurs::once)
        option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    else if (occurs == Occurs::repeated)
        option->trigger_on_parse();
    if (help.empty()) option->group("");
}

void OptionParser::word(const char* name, std::string& target, const char* type)
{
    app_->add_option(name, target, "")->type_name(type);
}

void OptionParser::program(const char* name, std::vector<std::string>& target)
{
    app_->add_option(name, target, "");
    program_ = &target;
}

void OptionParser::check(std::function<std::optional<Error>()> check)
{
    checks_.push_back(std::move(check));
}

bool OptionParser::has(std::string_view option) const
{
    return app_->get_option_no_throw(std::string(option)) != nullptr;
}

bool OptionParser::takes_value(std::string_view option) const
{
    const auto* const found = app_->get_option_no_throw(std::string(option));
    return found != nullptr && found->get_items_expected_min() != 0;
}

std::string OptionParser::usage_hint() const
{
    if (program_ != nullptr && !dashes_given_)
        return fmt::format("put -- before the program: {} [OPTIONS] -- PROGRAM [ARGUMENTS]", app_->get_name());
    return app_->get_name() + " --help lists the options";
}

Result<void> OptionParser::parse_words(const std::vector<std::string>& arguments, std::optional<std::string>& text)
{
    try {
        app_->parse(std::vector(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the back
    } catch (const CLI::CallForHelp&) {
        text = app_->help();
    } catch (const CLI::CallForVersion& version) {
        text = std::string(version.what()) + "\n";
    } catch (const CLI::ParseError& error) {
        return usage_error(error.what(), usage_hint());
    } catch (const BadOption& bad) {
        return bad.error;
    }
    return {};
}

Result<std::optional<std::string>> OptionParser::parse(const std::vector<std::string>& arguments,
                                                       const std::optional<std::vector<std::string>>& behind_dashes)
{
    dashes_given_ = behind_dashes.has_value();
    std::optional<std::string> text;
    if (auto parsed = parse_words(arguments, text); !parsed) return parsed.error();
    extras_ = app_->remaining(true);
    if (text || !extras_.empty()) return text;
    if (behind_dashes && program_ == nullptr)
        return usage_error("--: only run starts a program", "loopwatch run [OPTIONS] -- PROGRAM [ARGUMENTS]");
    if (behind_dashes) program_->insert(program_->end(), behind_dashes->begin(), behind_dashes->end());
    for (const auto& check : checks_)
        if (auto error = check()) return *error;
    return text;
}

TakeValue duration_value(std::uint64_t& target, std::string_view likely_unit, std::uint64_t least_ns)
{
    return [&target, unit = std::string(likely_unit), least_ns](const std::string& text) -> std::optional<BadValue> {
        const auto parsed = parse_duration(text, unit);
        if (!parsed) return BadValue{parsed.error().what, parsed.error().hint};
        if (*parsed < least_ns)
            return BadValue{fmt::format("\"{}\" is too short", text), "at least " + written_duration(least_ns)};
        target = *parsed;
        return std::nullopt;
    };
}

std::string written_duration(std::uint64_t ns)
{
    auto text = format_duration(ns);
    std::erase(text, ' ');
    return text;
}

TakeValue text_value(std::string& target, const char* hint)
{
    return [&target, hint](const std::string& text) -> std::optional<BadValue> {
        if (text.empty()) return BadValue{"is empty", hint};
        target = text;
        return std::nullopt;
    };
}

}  // namespace loopwatch
