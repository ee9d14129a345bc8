// SPDX-License-Identifier: Apache-2.0
//
// What an operation of Asio is called in a report: its handler as people wrote it. At compile time, from the name that
// the compiler gives the operation's type, which wraps the handler many times over:
//
//   boost::asio::detail::wait_handler<boost::asio::executor_binder<Session::wait()::<lambda(error_code)>, …>, …>
//   → Session::wait()::<lambda()>
#pragma once

#include <cstddef>
#include <string_view>

namespace loopwatch::asio_tracking {

struct TypeName {
    char text[64] = {};       // as much as a report takes
    bool is_users = false;    // else every name in it is a library's, and the text is the operation's
    bool is_carrier = false;  // a strand's, which only runs the handlers that wait for it: each is told by itself
};

constexpr bool is_of_word(char c) noexcept
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
constexpr bool starts_with(std::string_view text, std::string_view with) noexcept
{
    return text.substr(0, with.size()) == with;
}
constexpr bool is_one_of(std::string_view word, std::string_view words) noexcept
{
    for (std::size_t from = 0; from < words.size(); from = words.find(' ', from) + 1)
        if (words.substr(from, words.find(' ', from) - from) == word) return true;
    return false;
}

// The end of what begins at `from`: the closing bracket, or one of `ends`, that is not within it.
constexpr std::size_t end_of(std::string_view text, std::size_t from, std::string_view ends = ",;") noexcept
{
    int depth = 0;
    for (; from < text.size(); ++from) {
        const char c = text[from];
        const bool opens = c == '<' || c == '(' || c == '{' || c == '[';
        const bool closes = c == '>' || c == ')' || c == '}' || c == ']';
        if (depth == 0 && (closes || ends.find(c) != ends.npos)) break;
        depth += opens ? 1 : closes ? -1 : 0;
    }
    return from;
}

// The last argument of the templates that is of no library: handlers stand behind what they are for. One pass: such
// names may have thousands of characters, and compilers count the steps.
constexpr std::string_view find_users_type(std::string_view type) noexcept
{
    constexpr std::string_view libraries = "asio boost std lambda ";
    constexpr std::string_view builtins = "void bool char short int long signed unsigned float double true false ";
    std::string_view found;
    bool begins = true;
    for (std::size_t at = 0; at < type.size();) {
        if (begins) {
            while (type[at] == ' ') ++at;
            if (starts_with(type.substr(at), "const ")) at += 6;
            std::size_t end = at;
            while (end < type.size() && is_of_word(type[end])) ++end;
            const auto word = type.substr(at, end - at);
            if (!is_one_of(word, libraries)) {
                const auto whole = type.substr(at, end_of(type, at) - at);
                const bool is_value =
                    word.empty() ? whole.empty() || whole[0] == '-' : word[0] >= '0' && word[0] <= '9';
                const bool is_member = whole.find("::*") != whole.npos;  // "void (Session::*(Session*, …))(…)"
                if (!is_value && (!is_one_of(word, builtins) || is_member))
                    found = whole.substr(0, whole.find_last_not_of(" *&") + 1);
                at += whole.size();
            }
        }
        if (at < type.size()) begins = type[at] == '<' || type[at] == ',';
        ++at;
    }
    return found;
}

// Without parameters and arguments of templates, and the end of it if it is too long: that is what differs.
constexpr void shorten(std::string_view name, TypeName& to) noexcept
{
    constexpr std::size_t most = sizeof to.text - 1;
    for (int pass = 0, length = 0, written = 0, skip = 0; pass < 2; ++pass) {
        if (pass == 1) skip = length > static_cast<int>(most) ? length - static_cast<int>(most) : 0;
        length = 0;
        for (std::size_t at = 0; at < name.size(); ++at) {
            if (length++ >= skip && pass == 1) to.text[written++] = name[at];
            if (name[at] != '(' && name[at] != '<') continue;
            const auto inner = name.substr(at + 1, end_of(name, at + 1, "") - at - 1);
            if (starts_with(inner, "lambda at "))  // clang's: "(lambda at /srv/server.cpp:12:7)"
                at += inner.find_last_of('/') == inner.npos ? 10 : inner.find_last_of('/') + 1;
            else if (!starts_with(inner, "lambda") && !starts_with(inner, "anonymous") &&
                     !starts_with(inner, "unnamed") && !starts_with(inner, "*") && inner.find("::*") == inner.npos)
                at += inner.size();
        }
    }
}

// What Asio calls the operation of such a type in its own tracking, which an operation that was started while nobody
// was attached has not told; else the type's name.
constexpr std::string_view operation_of(std::string_view type) noexcept
{
    constexpr struct {
        std::string_view part, operation;
    } names[] = {
        {"accept_op", "async_accept"},    {"connect_op", "async_connect"},        {"recv", "async_receive"},
        {"send", "async_send"},           {"read_op", "async_read_some"},         {"read_at_op", "async_read_some_at"},
        {"write_op", "async_write_some"}, {"write_at_op", "async_write_some_at"}, {"wait_op", "async_wait"},
        {"wait_handler", "async_wait"},   {"signal_handler", "async_wait"},       {"resolve", "async_resolve"},
        {"executor_op", "execute"},       {"completion_handler", "post"},
    };
    for (const auto& [part, operation] : names)
        if (type.find(part) != type.npos) return operation;
    return type;
}

// `pretty`: __PRETTY_FUNCTION__ of a template with an argument Operation: "… [with Operation = …; …]".
constexpr TypeName describe(std::string_view pretty) noexcept
{
    constexpr std::string_view before = "Operation = ";
    TypeName name;
    const auto from = pretty.find(before) + before.size();
    const auto type = pretty.substr(from, end_of(pretty, from) - from);
    name.is_carrier = type.find("strand_executor_service::invoker<") != type.npos;
    const auto handler = find_users_type(type);
    name.is_users = !handler.empty();
    const auto template_name = type.substr(0, type.find('<'));
    shorten(name.is_users ? handler : operation_of(template_name.substr(template_name.rfind(':') + 1)), name);
    return name;
}

template <class Operation>
constexpr std::string_view pretty_name() noexcept
{
    return __PRETTY_FUNCTION__;
}
template <class Operation>
inline constexpr TypeName type_name = describe(pretty_name<Operation>());

}  // namespace loopwatch::asio_tracking
