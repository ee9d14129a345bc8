// SPDX-License-Identifier: Apache-2.0
#include "analysis/suppressions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ranges>

#include "analysis/function_name.hpp"
#include "analysis/kind.hpp"
#include "util/duration.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_depth = 16;

// * stands for any characters, none too.
bool matches(std::string_view glob, std::string_view text)
{
    std::size_t g = 0, t = 0, star = std::string_view::npos, resume = 0;
    while (t < text.size()) {
        if (g < glob.size() && glob[g] == '*') {
            star = g++;
            resume = t;
        } else if (g < glob.size() && glob[g] == text[t]) {
            ++g;
            ++t;
        } else if (star != std::string_view::npos) {
            g = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (g < glob.size() && glob[g] == '*') ++g;
    return g == glob.size();
}

bool any_frame(const FindingView& finding, const auto& is_it)
{
    return finding.stack != nullptr && std::ranges::any_of(*finding.stack, is_it);
}

bool holds(const Suppressions::Rule& rule, const FindingView& finding)
{
    if (rule.expired || (rule.kind && *rule.kind != finding.kind)) return false;
    if (!rule.call.empty() && !matches(rule.call, finding.call)) return false;
    if (!rule.task.empty() && !matches(rule.task, finding.task)) return false;
    if (rule.up_to_ns && finding.duration_ns > *rule.up_to_ns) return false;
    if (!rule.function.empty() && !any_frame(finding, [&](const Frame& frame) {
            return matches(rule.function, frame.function) || matches(rule.function, plain_name(frame.function));
        }))
        return false;
    return rule.module.empty() || any_frame(finding, [&](const Frame& frame) {
               return matches(rule.module, frame.module) ||
                      matches(rule.module, frame.module.substr(frame.module.rfind('/') + 1));
           });
}

// The rule that decides, if any holds.
Suppressions::Rule* deciding(std::vector<Suppressions::Rule>& rules, const FindingView& finding)
{
    const auto last =
        std::find_if(rules.rbegin(), rules.rend(), [&](const auto& rule) { return holds(rule, finding); });
    if (last == rules.rend()) return nullptr;
    auto* const inner = deciding(last->inner, finding);
    return inner ? inner : &*last;
}

struct Word {
    std::string text;
    std::size_t line, column;
    bool quoted = false;
};

// Words, braces and the ends of lines, each with its place.
class Reader {
public:
    Reader(std::string_view text, std::optional<Suppressions::Problem>& problem) : text_(text), problem_(problem)
    {
        next();
    }

    const Word& now() const { return now_; }
    bool at_end() const { return ended_ || problem_; }
    bool is(std::string_view text) const { return !ended_ && !now_.quoted && now_.text == text; }

    Word take()
    {
        auto taken = now_;
        next();
        return taken;
    }

    bool accept(std::string_view text)
    {
        if (!is(text)) return false;
        next();
        return true;
    }

    void fail(const Word& at, std::string what)
    {
        if (!problem_) problem_ = Suppressions::Problem{at.line, at.column, std::move(what)};
    }

private:
    void advance()
    {
        if (text_[at_] == '\n') {
            ++line_;
            column_ = 0;
        }
        ++at_;
        ++column_;
    }

    void next()
    {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) advance();
        if (at_ < text_.size() && text_[at_] == '#')
            while (at_ < text_.size() && text_[at_] != '\n') advance();
        now_ = {"", line_, column_};
        ended_ = at_ >= text_.size();
        if (ended_) return;
        const char first = text_[at_];
        if (first == '\n' || first == '{' || first == '}') {
            now_.text = first;
            advance();
        } else if (first == '"') {
            now_.quoted = true;
            advance();
            while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
                now_.text += text_[at_];
                advance();
            }
            if (at_ >= text_.size() || text_[at_] != '"') return fail(now_, "the quotation mark is not closed");
            advance();
        } else {
            while (at_ < text_.size() && std::string_view(" \t\r\n{}#").find(text_[at_]) == std::string_view::npos) {
                now_.text += text_[at_];
                advance();
            }
        }
    }

    std::string_view text_;
    std::optional<Suppressions::Problem>& problem_;
    std::size_t at_ = 0, line_ = 1, column_ = 1;
    Word now_;
    bool ended_ = false;
};

bool is_a_date(std::string_view text)
{
    if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
    for (const std::size_t i : {0, 1, 2, 3, 5, 6, 8, 9})
        if (text[i] < '0' || text[i] > '9') return false;
    const auto number = [&](std::size_t at, std::size_t digits) {
        unsigned value = 0;
        std::from_chars(text.data() + at, text.data() + at + digits, value);
        return value;
    };
    const std::chrono::year year(static_cast<int>(number(0, 4)));
    return (year / static_cast<int>(number(5, 2)) / static_cast<int>(number(8, 2))).ok();
}

class Parser {
public:
    Parser(std::string_view text, std::string_view today, std::optional<Suppressions::Problem>& problem)
        : reader_(text, problem), today_(today)
    {
    }

    std::vector<Suppressions::Rule> rules(std::size_t depth)
    {
        std::vector<Suppressions::Rule> rules;
        while (!reader_.at_end()) {
            if (reader_.accept("\n")) continue;
            if (reader_.is("}")) {
                if (depth == 0) reader_.fail(reader_.now(), "there is no { for this }");
                return rules;
            }
            rules.push_back(rule(depth));
        }
        return rules;
    }

private:
    bool at_rule_end() const { return reader_.at_end() || reader_.is("\n") || reader_.is("{") || reader_.is("}"); }

    Suppressions::Rule rule(std::size_t depth)
    {
        Suppressions::Rule rule;
        const auto first = reader_.take();
        rule.line = first.line;
        rule.text = first.text;
        rule.allows = first.text == "allow";
        if (!rule.allows && first.text != "deny") reader_.fail(first, "a rule begins with allow or deny");
        bool conditions = false;
        while (!at_rule_end()) conditions |= condition(rule);
        if (!conditions) reader_.fail(first, "the rule has no condition: it would speak of everything");
        if (!reader_.is("{")) return rule;
        const auto brace = reader_.take();
        if (depth >= max_depth) reader_.fail(brace, fmt::format("rules stand in more than {} braces", max_depth));
        if (!reader_.at_end()) rule.inner = rules(depth + 1);
        if (!reader_.accept("}")) reader_.fail(brace, "this { is not closed");
        return rule;
    }

    // False: one that alone selects nothing.
    bool condition(Suppressions::Rule& rule)
    {
        const auto word = reader_.take();
        rule.text += ' ' + word.text;
        if (word.text == "call") return value(word, rule.call, rule.text);
        if (word.text == "inside") return value(word, rule.function, rule.text);
        if (word.text == "in") return value(word, rule.module, rule.text);
        if (word.text == "task") return value(word, rule.task, rule.text);
        if (word.text == "up") {
            if (!reader_.accept("to")) reader_.fail(reader_.now(), "write: up to 50us");
            const auto at = reader_.now();
            std::string text;
            rule.text += " to";
            if (!value(word, text, rule.text)) return false;
            const auto bound = parse_duration(text);
            if (bound)
                rule.up_to_ns = *bound;
            else
                reader_.fail(at, bound.error().what + (bound.error().hint.empty() ? "" : ": " + bound.error().hint));
            return false;
        }
        if (word.text == "until") {
            const auto at = reader_.now();
            if (value(word, rule.until, rule.text) && !is_a_date(rule.until))
                reader_.fail(at, fmt::format("\"{}\" is no date: write 2027-03-31", rule.until));
            rule.expired = rule.until < today_;
            return false;
        }
        if (const auto kind = kind_named(word.text)) {
            if (rule.kind) reader_.fail(word, "a rule has one kind");
            rule.kind = kind;
            return true;
        }
        reader_.fail(word,
                     fmt::format("\"{}\" is no kind, and none of: call, inside, in, task, up to, until", word.text));
        return false;
    }

    bool value(const Word& of, std::string& to, std::string& rule_text)
    {
        if (at_rule_end()) {
            reader_.fail(reader_.now(), fmt::format("what does \"{}\" speak of?", of.text));
            return false;
        }
        to = reader_.take().text;
        rule_text += ' ' + to;
        if (to.empty()) reader_.fail(of, fmt::format("\"{}\" speaks of nothing", of.text));
        return true;
    }

    Reader reader_;
    std::string_view today_;
};

const Source* telling(const std::vector<Source>& sources)
{
    const auto own = std::ranges::find_if(sources, [](const Source& one) { return is_the_codes_doing(one.kind); });
    return own != sources.end() ? &*own : sources.empty() ? nullptr : &sources.front();
}

FindingView view(std::string_view type, const SlowCallback& slow)
{
    FindingView finding;
    finding.type = type;
    if (const auto* source = telling(slow.sources)) {
        finding.kind = source->kind;
        finding.call = source->call;
        finding.stack = &source->stack;
    }
    if (slow.task) finding.task = slow.task->name;
    finding.duration_ns = slow.duration_ns;
    finding.fingerprint = slow.fingerprint;
    finding.verdict = slow.verdict;
    finding.place_known = slow.place_known;
    finding.incident = {slow.subject.pid, slow.subject.tid, slow.loop.id, slow.dispatch_seq};
    return finding;
}

}  // namespace

bool Incidents::add(const std::optional<Incident>& incident)
{
    if (!incident) {
        forgot_ = true;
        return true;
    }
    if (std::ranges::find(latest_, *incident) != latest_.end()) return false;
    if (latest_.size() >= most) {
        latest_.pop_front();
        forgot_ = true;
    }
    latest_.push_back(*incident);
    return true;
}

void Incidents::add(const Incidents& others)
{
    for (const auto& incident : others.latest_) (void)add(incident);
}

bool Incidents::within(const Incidents& others) const
{
    return !forgot_ && std::ranges::all_of(latest_, [&](const Incident& incident) {
        return std::ranges::find(others.latest_, incident) != others.latest_.end();
    });
}

FindingView view_of(const BlockingCall& call)
{
    return {"blocking_call",         call.source.kind,
            call.source.call,        call.task ? std::string_view(call.task->name) : std::string_view(),
            call.source.duration_ns, &call.source.stack,
            call.fingerprint,        call.verdict,
            call.place_known,        Incident{call.subject.pid, call.subject.tid, call.loop.id, call.dispatch_seq}};
}

FindingView view_of(const SlowCallback& slow)
{
    return view("slow_callback", slow);
}

FindingView view_of(const Stall& stall)
{
    return view("stall", stall);
}

Suppressions Suppressions::parse(std::string_view text, std::string_view today, std::optional<Problem>& problem)
{
    Suppressions parsed;
    problem.reset();
    parsed.rules_ = Parser(text, today, problem).rules(0);
    if (problem) parsed.rules_.clear();
    return parsed;
}

bool Suppressions::allows(const FindingView& finding)
{
    auto* const rule = deciding(rules_, finding);
    if (!rule) return false;
    if (rule->incidents.add(finding.incident)) ++rule->hits;
    return rule->allows;
}

}  // namespace loopwatch
