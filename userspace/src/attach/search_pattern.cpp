// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <re2/re2.h>

#include "attach/target_rules.hpp"

namespace loopwatch {

namespace {

// An expression that needs more is refused when the configuration is read. RE2's default of 8 MiB is for each one.
constexpr std::int64_t most_automaton_bytes = 1 << 20;
constexpr std::size_t longest_expression = 512;

// RE2, as any process may have a command line made for the expression: std::regex recurses with each character of it
// and overflows the stack, and glibc's regexec takes exponential time with back references. Latin-1: with UTF-8 a byte
// that is no character would hide all around it from ".".
RE2::Options search_options()
{
    RE2::Options options(RE2::Latin1);
    options.set_max_mem(most_automaton_bytes);
    options.set_log_errors(false);
    options.set_dot_nl(true);
    return options;
}

}  // namespace

struct SearchPattern::Compiled {
    explicit Compiled(std::string_view expression)
        : expression(re2::StringPiece(expression.data(), expression.size()), search_options())
    {
    }
    RE2 expression;
};

Result<SearchPattern> SearchPattern::parse(std::string_view expression)
{
    if (expression.size() > longest_expression)
        return Error{ExitCode::usage, "is longer than 512 bytes", "use several expressions in a list"};
    SearchPattern pattern;
    pattern.text_ = expression;
    auto compiled = std::make_shared<Compiled>(expression);
    if (!compiled->expression.ok())
        return Error{ExitCode::usage, fmt::format("is no regular expression: {}", compiled->expression.error()),
                     "the syntax is that of RE2: no back references, no look-around"};
    pattern.compiled_ = std::move(compiled);
    return pattern;
}

bool SearchPattern::found_in(std::string_view text) const
{
    return compiled_ && RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), compiled_->expression);
}

}  // namespace loopwatch
