// SPDX-License-Identifier: Apache-2.0
#include "stack/rust_name.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace loopwatch {
namespace {

constexpr int max_depth = 100, max_steps = 20'000;
constexpr std::size_t max_bytes = 4096;

struct Replacement {
    std::string_view code, text;
};

std::string_view basic_type(char tag)
{
    static constexpr std::pair<char, std::string_view> types[] = {
        {'a', "i8"},    {'b', "bool"},  {'c', "char"}, {'d', "f64"}, {'e', "str"},  {'f', "f32"},  {'h', "u8"},
        {'i', "isize"}, {'j', "usize"}, {'l', "i32"},  {'m', "u32"}, {'n', "i128"}, {'o', "u128"}, {'p', "_"},
        {'s', "i16"},   {'t', "u16"},   {'u', "()"},   {'v', "..."}, {'x', "i64"},  {'y', "u64"},  {'z', "!"}};
    const auto* const found = std::ranges::find(types, tag, &std::pair<char, std::string_view>::first);
    return found == std::end(types) ? std::string_view() : found->second;
}

// A recursive descent through the grammar of the RFC; `failed_` ends it.
class Demangler {
public:
    explicit Demangler(std::string_view symbol) : symbol_(symbol) {}

    std::optional<std::string> run()
    {
        path(true);
        if (failed_ || text_.empty()) return std::nullopt;
        // A crate that instantiates it, and the compiler's suffixes, say nothing of it.
        return std::move(text_);
    }

private:
    char peek() const { return at_ < symbol_.size() ? symbol_[at_] : '\0'; }
    bool take(char c)
    {
        if (peek() != c) return false;
        ++at_;
        return true;
    }
    char next()
    {
        if (at_ >= symbol_.size()) failed_ = true;
        return failed_ ? '\0' : symbol_[at_++];
    }
    void print(std::string_view text)
    {
        if (silent_ == 0) text_ += text;
        failed_ |= text_.size() > max_bytes;
    }
    bool enter()
    {
        failed_ |= ++depth_ > max_depth || ++steps_ > max_steps;
        return !failed_;
    }

    // "_" is 0, "0_" is 1.
    std::uint64_t base62()
    {
        if (take('_')) return 0;
        std::uint64_t value = 0;
        for (char c = next(); c != '_' && !failed_; c = next()) {
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'z' ? c - 'a' + 10
                              : c >= 'A' && c <= 'Z' ? c - 'A' + 36
                                                     : -1;
            failed_ |= digit < 0;
            value = value * 62 + static_cast<std::uint64_t>(digit);
        }
        return value + 1;
    }
    std::uint64_t optional62(char tag) { return take(tag) ? base62() + 1 : 0; }

    std::string_view identifier()
    {
        const bool punycode = take('u');
        std::size_t length = 0;
        const auto is_digit = [&] { return peek() >= '0' && peek() <= '9'; };
        failed_ |= !is_digit();
        if (take('0')) return {};
        while (is_digit() && length <= symbol_.size()) length = length * 10 + static_cast<std::size_t>(next() - '0');
        take('_');
        if (failed_ || length > symbol_.size() - at_) return failed_ = true, std::string_view();
        const auto name = symbol_.substr(at_, length);
        at_ += length;
        return punycode ? std::string_view("{unicode}") : name;
    }

    // What stands earlier in the symbol.
    template <class Parse>
    void backref(Parse parse)
    {
        const auto to = base62();
        if (failed_ || to >= at_) return void(failed_ = true);
        if (silent_ != 0) return;
        const auto back = std::exchange(at_, to);
        parse();
        at_ = back;
    }

    void path(bool value)
    {
        if (!enter()) return;
        switch (next()) {
            case 'C':
                optional62('s');
                print(identifier());
                break;
            case 'N': nested(value); break;
            case 'M':
                impl_path();
                print("<");
                type();
                print(">");
                break;
            case 'X': impl_path(); [[fallthrough]];
            case 'Y':
                print("<");
                type();
                print(" as ");
                path(false);
                print(">");
                break;
            case 'I':
                path(value);
                print(value ? "::<" : "<");
                list([&] { generic(); });
                print(">");
                break;
            case 'B': backref([&] { path(value); }); break;
            default: failed_ = true;
        }
        --depth_;
    }

    void nested(bool value)
    {
        const char space = next();
        path(value);
        const auto number = optional62('s');
        const auto name = identifier();
        if (space >= 'A' && space <= 'Z') {
            print("::{");
            print(space == 'C' ? "closure" : space == 'S' ? "shim" : std::string_view(&space, 1));
            if (!name.empty()) print(":");
            print(name);
            print("#" + std::to_string(number) + "}");
        } else if (!name.empty()) {
            print("::");
            print(name);
        }
    }

    void impl_path()
    {
        ++silent_;
        optional62('s');
        path(false);
        --silent_;
    }

    template <class Parse>
    void list(Parse parse)
    {
        for (bool first = true; !failed_ && !take('E'); first = false) {
            if (!first) print(", ");
            parse();
        }
    }

    void lifetime()
    {
        if (take('L')) base62();
    }

    void generic()
    {
        if (peek() == 'L') {
            lifetime();
            print("'_");
        } else if (take('K')) {
            constant();
        } else {
            type();
        }
    }

    void type()
    {
        if (!enter()) return;
        const char tag = next();
        if (const auto name = basic_type(tag); !name.empty()) {
            print(name);
        } else if (tag == 'A' || tag == 'S') {
            print("[");
            type();
            if (tag == 'A') print("; "), constant();
            print("]");
        } else if (tag == 'T') {
            print("(");
            list([&] { type(); });
            print(")");
        } else if (tag == 'R' || tag == 'Q') {
            lifetime();
            print(tag == 'R' ? "&" : "&mut ");
            type();
        } else if (tag == 'P' || tag == 'O') {
            print(tag == 'P' ? "*const " : "*mut ");
            type();
        } else if (tag == 'F') {
            function();
        } else if (tag == 'D') {
            dynamic();
        } else if (tag == 'B') {
            backref([&] { type(); });
        } else {
            if (at_ != 0) --at_;
            path(false);
        }
        --depth_;
    }

    void function()
    {
        optional62('G');
        if (take('U')) print("unsafe ");
        if (take('K') && !take('C')) identifier();
        print("fn(");
        list([&] { type(); });
        print(")");
        if (take('u')) return;
        print(" -> ");
        type();
    }

    void dynamic()
    {
        optional62('G');
        print("dyn ");
        for (bool first = true; !failed_ && !take('E'); first = false) {
            if (!first) print(" + ");
            path(false);
            while (take('p')) {
                print("<");
                print(identifier());
                print(" = ");
                type();
                print(">");
            }
        }
        lifetime();
    }

    void constant()
    {
        if (!enter()) return;
        if (take('B')) {
            backref([&] { constant(); });
        } else if (take('p')) {
            print("_");
        } else {
            next();  // its type
            if (take('n')) print("-");
            print("0x");
            for (char c = next(); c != '_' && !failed_; c = next()) print(std::string_view(&c, 1));
        }
        --depth_;
    }

    std::string_view symbol_;
    std::size_t at_ = 0;
    int depth_ = 0, steps_ = 0, silent_ = 0;
    bool failed_ = false;
    std::string text_;
};

bool is_legacy_hash(std::string_view name)
{
    constexpr std::size_t bytes = 19;  // "::h" and 16 hexadecimal digits
    if (name.size() <= bytes) return false;
    name.remove_prefix(name.size() - bytes);
    return name.starts_with("::h") && name.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
}

}  // namespace

std::optional<std::string> demangle_rust(std::string_view symbol)
{
    if (!symbol.starts_with("_R") || symbol.size() < 4) return std::nullopt;
    return Demangler(symbol.substr(2)).run();
}

std::string tidy_rust(std::string name)
{
    if (!is_legacy_hash(name)) return name;
    name.resize(name.size() - 19);
    static constexpr Replacement codes[] = {{"$SP$", "@"},  {"$BP$", "*"},  {"$RF$", "&"},  {"$LT$", "<"},
                                            {"$GT$", ">"},  {"$LP$", "("},  {"$RP$", ")"},  {"$C$", ","},
                                            {"$u20$", " "}, {"$u27$", "'"}, {"$u5b$", "["}, {"$u5d$", "]"},
                                            {"$u7b$", "{"}, {"$u7d$", "}"}, {"$u7e$", "~"}, {"..", "::"}};
    std::string tidy;
    for (std::size_t at = 0; at < name.size();) {
        const auto rest = std::string_view(name).substr(at);
        const auto* const code =
            std::ranges::find_if(codes, [&](const Replacement& one) { return rest.starts_with(one.code); });
        const bool escapes = rest.starts_with("_$") && (at == 0 || name[at - 1] == ':');
        if (code != std::end(codes))
            tidy += code->text;
        else if (!escapes)
            tidy += name[at];
        at += code != std::end(codes) ? code->code.size() : 1;
    }
    return tidy;
}

}  // namespace loopwatch
