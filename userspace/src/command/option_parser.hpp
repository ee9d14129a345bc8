// SPDX-License-Identifier: Apache-2.0
//
// The options of one command. Each option stores its value where its group wants it; the first that is wrong ends the
// parse with one error that names it. Only option_parser.cpp sees CLI11, which takes seconds to compile.
#pragma once

#include <charconv>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "util/result.hpp"

namespace loopwatch {

// What is wrong with the value of an option, and what to write instead.
struct BadValue {
    std::string what, hint;
};
// Stores a value, or says what is wrong with it.
using TakeValue = std::function<std::optional<BadValue>(const std::string& text)>;

class OptionParser {
public:
    // `name` as people type it: "loopwatch", "loopwatch ps". `footer`: what --help shows below the options.
    OptionParser(const std::string& name, const std::string& description, const std::string& footer);
    ~OptionParser();
    OptionParser(const OptionParser&) = delete;
    OptionParser& operator=(const OptionParser&) = delete;

    // `names` as in "-p,--pid"; errors name the last of them. Without help text an option is hidden.
    void flag(const char* names, bool& target, const std::string& help);
    // Given again, the last one counts, as in perf: a script adds to the options that it was given.
    void value(const char* names, TakeValue take, const std::string& help, const char* type);
    // Several, repeated: taken in the order of the line, with those of other such options.
    void repeated(const char* names, TakeValue take, const std::string& help, const char* type);
    // Several, separated by commas or repeated.
    void list(const char* names, TakeValue take, const std::string& help, const char* type);
    // A word that is no option.
    void word(const char* name, std::string& target, const char* type);
    // A program and its arguments: all that is no option, and all behind "--".
    void program(const char* name, std::vector<std::string>& target);

    // Looked at in this order once all values are there.
    void check(std::function<std::optional<Error>()> check);
    bool takes_value(std::string_view option) const;
    bool has(std::string_view option) const;

    // Text to print instead of anything else, for --help and --version; none: all is set, unless there are words that
    // nothing takes: extras(). `behind_dashes`: what followed "--"; none: there was no "--".
    Result<std::optional<std::string>> parse(const std::vector<std::string>& arguments,
                                             const std::optional<std::vector<std::string>>& behind_dashes);
    const std::vector<std::string>& extras() const noexcept { return extras_; }
    // What to write instead of a bad line: --help, or of a program whose options were taken for ours, "--".
    std::string usage_hint() const;

private:
    struct App;
    enum class Occurs { once, repeated, listed };
    void add(const char* names, TakeValue take, const std::string& help, const char* type, Occurs occurs);

    Result<void> parse_words(const std::vector<std::string>& arguments, std::optional<std::string>& text);

    std::unique_ptr<App> app_;
    std::vector<std::string>* program_ = nullptr;
    bool dashes_given_ = false;
    std::vector<std::function<std::optional<Error>()>> checks_;
    std::vector<std::string> extras_;
};

// The usual kinds of values. `target` is left alone by a bad one.
TakeValue duration_value(std::uint64_t& target, std::string_view likely_unit = "ms", std::uint64_t least_ns = 0);
// "10ms": as it is to be given.
std::string written_duration(std::uint64_t ns);
// Not empty.
TakeValue text_value(std::string& target, const char* hint);

template <class Number>
TakeValue number_value(Number& target, Number least, Number most, const char* hint)
{
    return [&target, least, most, hint](const std::string& text) -> std::optional<BadValue> {
        Number value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool whole = error == std::errc{} && end == text.data() + text.size();
        if (!whole || !(value >= least && value <= most)) return BadValue{"bad value \"" + text + "\"", hint};
        target = value;
        return std::nullopt;
    };
}

template <class Choice>
TakeValue choice_value(Choice& target, std::initializer_list<std::pair<const char*, Choice>> choices)
{
    return [&target, choices = std::vector(choices)](const std::string& text) -> std::optional<BadValue> {
        std::string names;
        for (const auto& [name, choice] : choices) {
            if (text == name) {
                target = choice;
                return std::nullopt;
            }
            names += (names.empty() ? "one of " : ", ") + std::string(name);
        }
        return BadValue{"bad value \"" + text + "\"", names};
    };
}

}  // namespace loopwatch
