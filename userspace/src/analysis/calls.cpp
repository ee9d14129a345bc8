// SPDX-License-Identifier: Apache-2.0
#include "analysis/calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace loopwatch {
namespace {

constexpr CallRow rows[] = {
#define LW_SYSCALL(number, name, rule, args) {number, #name, CallRule::rule, args},
#define LW_LIBC(name, rule, args) {-1, #name, CallRule::rule, args},
#include "analysis/calls.def"
};

constexpr std::uint64_t forever = ~std::uint64_t{0};  // the shim's word for no time-out
constexpr std::uint32_t uninterruptible = 2;  // TASK_UNINTERRUPTIBLE; may carry TASK_KILLABLE, TASK_FREEZABLE beside it

const CallRow* find_exactly(std::string_view name)
{
    const auto row = std::ranges::find(rows, name, &CallRow::name);
    return row == std::end(rows) ? nullptr : &*row;
}

// What glibc and the linker put around a name: versions, internal aliases, checked variants.
std::string_view without_decoration(std::string_view name)
{
    name = name.substr(0, name.find('@'));
    for (const std::string_view prefix : {"__GI_", "__libc_", "_IO_"})
        if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    while (name.size() > 1 && name.front() == '_') name.remove_prefix(1);
    for (const std::string_view suffix : {"_chk", "_nocancel"})
        if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
    // glibc's system() ends in a jump: only its local function is on the stack.
    return name == "do_system" ? "system" : name;
}

Kind kind_by_rule(CallRule rule, std::string_view fd_target, std::uint32_t task_state)
{
    switch (rule) {
        case CallRule::sleep: return Kind::sleep;
        case CallRule::file: return Kind::file_io;
        case CallRule::descriptor: return descriptor_kind(fd_target, task_state);
        case CallRule::lock: return Kind::lock;
        case CallRule::file_lock: return Kind::file_lock;
        case CallRule::pipe: return Kind::pipe;
        case CallRule::network: return Kind::network;
        case CallRule::dns: return Kind::dns;
        case CallRule::process: return Kind::process;
        case CallRule::wait: return Kind::nested_wait;
        case CallRule::io_uring: return Kind::io_uring;
        case CallRule::other: return Kind::other;
    }
    return Kind::other;
}

std::string futex_operation(std::uint64_t operation)
{
    const auto command = operation & 0x7f;  // without FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME
    switch (command) {
        case 0: return "wait";
        case 6: return "lock_pi";
        case 9: return "wait_bitset";
        case 11: return "wait_requeue_pi";
        case 13: return "lock_pi2";
        default: return std::to_string(command);
    }
}

void add_descriptor(Args& args, std::int32_t fd, const std::string& target, const std::string& peer)
{
    if (fd < 0) return;
    args.emplace_back("fd", std::to_string(fd));
    if (!peer.empty())
        args.emplace_back("peer", peer);
    else if (target.starts_with('/'))
        args.emplace_back("path", target);
    else if (!target.empty())
        args.emplace_back("target", target);
}

const char* text_name(CallRule rule)
{
    switch (rule) {
        case CallRule::dns: return "host";
        case CallRule::process: return "command";
        case CallRule::network: return "peer";
        case CallRule::file:
        case CallRule::file_lock:
        case CallRule::descriptor: return "path";
        default: return "text";
    }
}

// Of the argument with this letter; -1: the call has none.
int position_of(char letter, std::int64_t syscall)
{
    const auto* row = find_syscall(syscall);
    if (row == nullptr) return -1;
    const auto position = row->args.find(letter);
    return position == row->args.npos ? -1 : static_cast<int>(position);
}

}  // namespace

const CallRow* find_syscall(std::int64_t number)
{
    if (number < 0) return nullptr;
    const auto row = std::ranges::find(rows, number, &CallRow::number);
    return row == std::end(rows) ? nullptr : &*row;
}

const CallRow* find_call(std::string_view name)
{
    const auto plain = without_decoration(name);
    if (plain.ends_with("64"))
        if (const auto* row = find_exactly(plain.substr(0, plain.size() - 2))) return row;
    return find_exactly(plain);
}

std::string canonical_call(std::string_view symbol)
{
    constexpr std::string_view starts[] = {"start", "start_thread", "start_main", "start_call_main", "clone", "clone3"};
    const auto plain = without_decoration(symbol);
    if (plain.find("::") != plain.npos || std::ranges::find(starts, plain) != std::end(starts)) return {};
    // What glibc's own names stand for, where those of the callers were turned into jumps. Of fopen: the local
    // function, where glibc's debug symbols are installed, and the exported ones within it, where they are not.
    static constexpr std::pair<std::string_view, std::string_view> aliases[] = {
        {"fopen_internal", "fopen"},
        {"file_fopen", "fopen"},
        {"new_file_fopen", "fopen"},
        {"file_open", "fopen"},
        {"new_sem_wait_slow64", "sem_wait"},
        {"new_sem_wait_slow", "sem_wait"},
        {"pthread_clockjoin_ex", "pthread_join"},
        {"cfree", "free"}};
    const auto* const alias = std::ranges::find(aliases, plain, &std::pair<std::string_view, std::string_view>::first);
    if (alias != std::end(aliases)) return std::string(alias->second);
    const auto* row = find_call(symbol);
    return std::string(row == nullptr ? plain : row->name);
}

bool only_wakes(std::string_view call)
{
    constexpr std::string_view names[] = {"pthread_cond_signal", "pthread_cond_broadcast", "cnd_signal",
                                          "cnd_broadcast"};
    return std::ranges::find(names, call) != std::end(names);
}

int fd_argument(std::int64_t syscall)
{
    return position_of('f', syscall);
}

int path_argument(std::int64_t syscall)
{
    return position_of('s', syscall);
}

Kind descriptor_kind(std::string_view target, std::uint32_t task_state)
{
    if (target.starts_with("pipe:[") || target.starts_with("fifo:")) return Kind::pipe;
    if (target.starts_with("socket:[")) return Kind::network;
    if (target.starts_with("anon_inode:[timerfd]")) return Kind::sleep;
    if (target.starts_with("anon_inode:[io_uring]")) return Kind::io_uring;
    if (target.starts_with("anon_inode:[pidfd]")) return Kind::process;
    if (target.starts_with("anon_inode:")) return Kind::nested_wait;
    // A disk is waited for without signals, a terminal or another character device is not.
    if (target.starts_with("/dev/") || target.empty())
        return task_state & uninterruptible ? Kind::file_io : Kind::other;
    return target.starts_with('/') ? Kind::file_io : Kind::other;
}

Kind kind_of(const BlockFacts& block)
{
    if (block.syscall == -1) return Kind::page_fault;
    const auto* row = find_syscall(block.syscall);
    if (row == nullptr) return Kind::other;
    // poll(0, 0, ms) and select(0, …, timeout) are the sleeps of old code.
    const auto count = row->args.find('c');
    if (count != row->args.npos && block.args[count] == 0) return Kind::sleep;
    return kind_by_rule(row->rule, block.fd_target, block.task_state);
}

Kind kind_of(const CallFacts& call)
{
    const auto* row = find_call(call.call);
    if (row == nullptr) return Kind::other;
    return kind_by_rule(row->rule, call.fd_target.empty() ? call.text : call.fd_target, 0);
}

Args args_of(const BlockFacts& block)
{
    Args args;
    const auto* row = find_syscall(block.syscall);
    if (row == nullptr) return args;
    for (std::size_t i = 0; i < row->args.size(); ++i) {
        const auto value = block.args[i];
        const auto as_int = static_cast<std::int32_t>(value);
        switch (row->args[i]) {
            case 'f': add_descriptor(args, as_int, block.fd_target, block.peer); break;
            case 's':
                if (!block.path.empty()) args.emplace_back("path", block.path);
                break;
            case 'p': args.emplace_back("pid", std::to_string(as_int)); break;
            case 'l': args.emplace_back("lock", fmt::format("{:#x}", value)); break;
            case 'o': args.emplace_back("op", futex_operation(value)); break;
            case 'n': args.emplace_back("bytes", std::to_string(value)); break;
            case 'm':
                if (as_int >= 0) args.emplace_back("timeout_ns", std::to_string(value * 1'000'000));
                break;
            default: break;
        }
    }
    return args;
}

Args args_of(const CallFacts& call)
{
    Args args;
    const auto* row = find_call(call.call);
    const auto rule = row == nullptr ? CallRule::other : row->rule;
    const bool text_is_path = rule == CallRule::file || rule == CallRule::file_lock || rule == CallRule::descriptor;
    add_descriptor(args, call.fd, text_is_path && call.fd_target.empty() ? call.text : call.fd_target, call.peer);
    const bool told = text_is_path ? call.fd >= 0 : rule == CallRule::network && !call.peer.empty();
    if (!call.text.empty() && !told) args.emplace_back(text_name(rule), call.text);
    if (call.arg == 0) return args;
    if (kind_of(call) == Kind::sleep)
        args.emplace_back("requested_ns", std::to_string(call.arg));
    else if (rule == CallRule::lock)
        args.emplace_back("lock", fmt::format("{:#x}", call.arg));
    else if (rule == CallRule::process)
        args.emplace_back("pid", std::to_string(static_cast<std::int32_t>(call.arg)));
    else if (rule == CallRule::wait && call.arg != forever)
        args.emplace_back("timeout_ns", std::to_string(call.arg));
    else if (row != nullptr && row->args.find('n') != row->args.npos)
        args.emplace_back("bytes", std::to_string(call.arg));
    return args;
}

}  // namespace loopwatch
