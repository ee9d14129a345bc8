// SPDX-License-Identifier: Apache-2.0
#include "stack/function_name.hpp"

#include <cxxabi.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "stack/rust_name.hpp"

namespace loopwatch {
namespace {

using namespace std::string_view_literals;

void replace_all(std::string& text, std::string_view what, std::string_view with)
{
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

// Position of the bracket that `text[end - 1]` closes; npos if there is none.
std::size_t opening_bracket(std::string_view text, std::size_t end)
{
    int depth = 0;
    for (std::size_t i = end; i-- > 0;) {
        if (text[i] == ')') ++depth;
        if (text[i] == '(' && --depth == 0) return i;
    }
    return std::string_view::npos;
}

// " [clone .isra.0]" is binutils' and libstdc++'s way, " (.isra.0)" LLVM's.
void drop_clone_suffixes(std::string& name)
{
    while (true) {
        const std::size_t square = name.rfind(" [clone "), round = name.rfind(" (.");
        if (square != std::string::npos && name.back() == ']')
            name.resize(square);
        else if (round != std::string::npos && name.back() == ')')
            name.resize(round);
        else
            return;
    }
}

// C symbols carry the same suffixes bare: "flush.part.0.cold".
void drop_bare_suffixes(std::string& name)
{
    static constexpr std::array suffixes = {".isra"sv,     ".part"sv,   ".cold"sv,       ".constprop"sv,
                                            ".lto_priv"sv, ".llvm"sv,   ".localalias"sv, ".actor"sv,
                                            ".destroy"sv,  ".resume"sv, ".cleanup"sv};
    std::size_t cut = name.size();
    for (const auto suffix : suffixes) {
        const std::size_t at = name.find(suffix);
        if (at == std::string::npos || at == 0) continue;
        const std::size_t next = at + suffix.size();
        if (next == name.size() || name[next] == '.') cut = std::min(cut, at);
    }
    name.resize(cut);
}

// g++ calls the body of coroutine f(int) "f(f(int)::_Z1fi.Frame*) [clone .actor]": what is wanted is inside the
// parentheses.
void unwrap_coroutine_body(std::string& name)
{
    static constexpr auto marker = ".Frame*)"sv;
    if (!name.ends_with(marker)) return;
    const std::size_t open = opening_bracket(name, name.size());
    if (open == std::string::npos) return;
    const std::size_t mangled = name.rfind("::_Z");
    if (mangled == std::string::npos || mangled <= open) return;
    name = name.substr(open + 1, mangled - open - 1);
}

void drop_abi_tags(std::string& name)
{
    for (std::size_t at = name.find("[abi:"); at != std::string::npos; at = name.find("[abi:", at)) {
        const std::size_t close = name.find(']', at);
        if (close == std::string::npos) return;
        name.erase(at, close + 1 - at);
    }
}

void shorten_standard_names(std::string& name)
{
    replace_all(name, "std::__cxx11::", "std::");
    replace_all(name, "std::__n4861::", "std::");
    replace_all(name, "std::__1::", "std::");
    replace_all(name, "std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string");
    replace_all(name, "std::basic_string_view<char, std::char_traits<char> >", "std::string_view");
    replace_all(name, "> >", ">>");
    replace_all(name, "> >", ">>");  // three in a row need a second pass
}

// Where the last bracketed group at top level opens, "(int) const" → at "("; npos when the name does not read like a
// signature.
std::size_t parameter_list(std::string_view name)
{
    const std::size_t close = name.rfind(')');
    if (close == std::string_view::npos) return close;
    const auto rest = name.substr(close + 1);
    for (const auto qualifier : {""sv, " const"sv, " volatile"sv, " const volatile"sv, " const&"sv, " const &"sv, "&"sv,
                                 " &"sv, " &&"sv, " const &&"sv})
        if (rest == qualifier) return opening_bracket(name, close + 1);
    return std::string_view::npos;
}

// Only a template's name starts with its return type; g++ leaves it out of a coroutine's body, so that the two would
// differ.
void drop_return_type(std::string& name)
{
    const std::size_t parameters = parameter_list(name);
    if (parameters == std::string::npos || name.find("operator") != std::string::npos) {
        // "operator" is followed by brackets or a type of its own: only the plain call operator is safe to look
        // through.
        if (parameters == std::string::npos || name.find("operator()") == std::string::npos) return;
    }
    int depth = 0;
    std::size_t start = 0;
    for (std::size_t i = 0; i < parameters; ++i) {
        const char c = name[i];
        if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
        if (c == '>' || c == ')' || c == '}' || c == ']') --depth;
        if (depth < 0) return;
        if (c == ' ' && depth == 0) start = i + 1;
    }
    if (depth == 0) name.erase(0, start);
}

}  // namespace

std::string tidy_function(std::string_view raw)
{
    std::string name(raw);
    if (name.empty()) return name;
    drop_clone_suffixes(name);
    drop_bare_suffixes(name);
    unwrap_coroutine_body(name);
    drop_abi_tags(name);
    shorten_standard_names(name);
    drop_return_type(name);
    return name.empty() ? std::string(raw) : name;
}

std::string demangle(const char* symbol)
{
    if (auto rust = demangle_rust(symbol)) return std::move(*rust);
    // __cxa_demangle takes bare types too: "i" would become "int".
    return symbol[0] == '_' && symbol[1] == 'Z' ? demangle_type(symbol) : tidy_function(symbol);
}

std::string demangle_type(const char* name)
{
    const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, nullptr),
                                                           std::free);
    return tidy_function(text ? tidy_rust(text.get()) : name);
}

}  // namespace loopwatch
