// SPDX-License-Identifier: Apache-2.0
#include "analysis/function_name.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>

namespace loopwatch {
namespace {

constexpr std::string_view anonymous = "(anonymous namespace)::";
constexpr std::string_view operator_word = "operator";
constexpr std::string_view lambda_call = "{lambda}::operator()";
constexpr std::size_t spoken_template_bytes = 24;
constexpr std::size_t max_known_names = 4096;

// Index behind the bracket that closes the one at `open`; the end if none does.
std::size_t behind_bracket(std::string_view text, std::size_t open)
{
    int depth = 0;
    for (std::size_t i = open; i < text.size(); ++i) {
        const char c = text[i];
        const bool arrow = c == '>' && i > 0 && text[i - 1] == '-';
        if (c == '<' || c == '(' || c == '{') ++depth;
        if ((c == '>' && !arrow) || c == ')' || c == '}') --depth;
        if (depth == 0) return i + 1;
    }
    return text.size();
}

// A parameter list, unless "::" follows it (and its qualifiers): then it belongs to an enclosing function.
std::size_t scope_behind_parameters(std::string_view text, std::size_t open)
{
    auto rest = text.substr(behind_bracket(text, open));
    for (const std::string_view qualifier : {" const", " volatile", " &&", " &"})
        if (rest.starts_with(qualifier)) rest.remove_prefix(qualifier.size());
    return rest.starts_with("::") ? text.size() - rest.size() : std::string_view::npos;
}

// Length of "operator<<", "operator()", "operator new[]", "operator bool" at the start of `text`.
std::size_t operator_length(std::string_view text)
{
    auto length = operator_word.size();
    const auto rest = text.substr(length);
    if (rest.starts_with("()")) return length + 2;
    if (rest.starts_with(' ') || rest.starts_with('"')) return std::min(text.find('('), text.size());
    const auto symbols = std::min(rest.find_first_not_of("<>=!+-*/%^&|~,[]"), rest.size());
    const bool instance = rest.substr(symbols).starts_with(" <");  // operator<< <char>
    return length + symbols + (instance ? 1 : 0);
}

bool begins_operator(std::string_view text, std::size_t i)
{
    if (!text.substr(i).starts_with(operator_word)) return false;
    const bool word_start = i == 0 || text[i - 1] == ':' || text[i - 1] == ' ';
    const auto next = i + operator_word.size();
    return word_start && next < text.size() &&
           std::string_view(" \"()<>=!+-*/%^&|~,[]").find(text[next]) != std::string_view::npos;
}

std::string collapse(std::string name)
{
    for (auto at = name.find(lambda_call); at != name.npos; at = name.find(lambda_call))
        name.replace(at, lambda_call.size(), "{lambda}");
    return name;
}

std::string find_plain_name(std::string_view function)
{
    std::string name;
    std::size_t i = 0;
    while (i < function.size()) {
        const auto rest = function.substr(i);
        const char c = function[i];
        if (rest.starts_with(anonymous)) {
            i += anonymous.size();
        } else if (begins_operator(function, i)) {
            const auto length = operator_length(rest);
            name += rest.substr(0, length);
            i += length;
        } else if (c == '{' || c == '<') {
            const auto end = behind_bracket(function, i);
            // The numbers of lambdas and closures change with the code before them.
            name += rest.starts_with("{lambda")                                      ? std::string_view("{lambda}")
                    : rest.starts_with("{closure#") || rest.starts_with("{{closure") ? std::string_view("{closure}")
                                                                                     : rest.substr(0, end - i);
            i = end;
        } else if (c == '(') {
            i = scope_behind_parameters(function, i);
            if (i == std::string_view::npos) break;
        } else if (c == '[' && rest.starts_with("[abi:")) {
            i += std::min(rest.find(']'), rest.size() - 1) + 1;
        } else if (c == '@' || (c == '.' && !name.empty()) || rest.starts_with(" [clone") || rest.starts_with(" (.")) {
            break;
        } else {
            name = c == ' ' ? std::string() : name + c;  // before a space stood a return type
            ++i;
        }
    }
    // Debug info names an inlined lambda after the function it stands in: "save()::operator()".
    constexpr std::string_view call = "::operator()";
    if (function.find(")::operator()") != std::string_view::npos && name.ends_with(call))
        name.replace(name.size() - call.size(), call.size(), "::{lambda}");
    return name.empty() ? std::string(function) : collapse(std::move(name));
}

struct NameHash : std::hash<std::string_view> {
    using is_transparent = void;
};

}  // namespace

// The samples of one slow dispatch ask for the same names a thousand times, of kilobytes each: a fifth of what a
// finding cost.
std::string plain_name(std::string_view function)
{
    static std::unordered_map<std::string, std::string, NameHash, std::equal_to<>> known;
    if (const auto found = known.find(function); found != known.end()) return found->second;
    if (known.size() >= max_known_names) known.clear();
    return known[std::string(function)] = find_plain_name(function);
}

namespace {

// Rust's "<shop::Store<u8> as shop::Flush>::flush" → "shop::Store<u8>::flush".
std::string without_trait(std::string name)
{
    if (!name.starts_with('<')) return name;
    const auto end = behind_bracket(name, 0);
    auto type = std::string_view(name).substr(1, end - 2);
    for (std::size_t i = 0; i < type.size(); i = type[i] == '<' ? behind_bracket(type, i) : i + 1)
        if (type.substr(i).starts_with(" as ")) type = type.substr(0, i);
    return std::string(type) + name.substr(end);
}

}  // namespace

std::string spoken_name(std::string_view function)
{
    auto name = without_trait(plain_name(function));
    // A person looks for the function, the line leads to the lambda.
    for (const std::string_view nameless : {"::{lambda}", "::{closure}"})
        while (name.ends_with(nameless)) name.resize(name.size() - nameless.size());
    std::string spoken;
    for (std::size_t i = 0; i < name.size();) {
        if (begins_operator(name, i)) {
            const auto length = operator_length(std::string_view(name).substr(i));
            spoken += name.substr(i, length);
            i += length;
        } else if (name[i] == '<') {
            const auto end = behind_bracket(name, i);
            spoken += end - i > spoken_template_bytes ? "<…>" : name.substr(i, end - i);
            i = end;
        } else {
            spoken += name[i++];
        }
    }
    return spoken;
}

}  // namespace loopwatch
