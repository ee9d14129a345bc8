// SPDX-License-Identifier: Apache-2.0
#include "standalone.hpp"

#include <cstdlib>
#include <cstring>

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "log_file.hpp"
#include "proc_lines.hpp"
#include "raw_syscall.hpp"
#include "real_symbols.hpp"
#include "sandbox.hpp"
#include "shim_state.hpp"
#include "text.hpp"

namespace loopwatch::preload {
namespace {

constexpr unsigned failed = 3;  // as --fail-on

struct Unit {
    const char* name;
    std::uint64_t ns;
};

// Calls of one place in one dispatch.
struct Longest {
    std::uint64_t seq, lasted_ns, longest_ns, count;
    const char* call;
    lw_call_detail detail;
};
[[gnu::tls_model("initial-exec")]] constinit thread_local Longest longest = {};

// C0, DEL and C1; the latter as one byte, or in UTF-8 as 0xc2 and that byte. Behind other bytes of UTF-8 it is part of
// a character.
bool is_control(unsigned char before, unsigned char byte)
{
    const bool c1 = byte >= 0x80 && byte <= 0x9f;
    return byte < 0x20 || byte == 0x7f || (c1 && (before < 0x80 || before == 0xc2));
}

// One line: what a terminal obeys becomes a question mark, as the names of tasks, files and hosts are often a client's
// words.
template <std::size_t n>
void say(char (&line)[n], const Text& text)
{
    std::size_t bytes = text.length(line);
    unsigned char before = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        const auto byte = static_cast<unsigned char>(line[i]);
        if (is_control(before, byte)) line[i] = '?';
        before = byte;
    }
    line[bytes == n - 1 ? bytes - 1 : bytes++] = '\n';
    write_log(line, bytes);
}

// "50ms", "1.5s" is not taken: whole numbers with a unit.
bool take_duration(const char* name, std::uint64_t otherwise, std::uint64_t& to)
{
    const char* text = std::getenv(name);
    to = otherwise;
    if (text == nullptr || *text == '\0') return true;
    std::uint64_t value = 0;
    const char* const begin = text;
    for (; *text >= '0' && *text <= '9' && value < NS_PER_S; ++text)
        value = value * 10 + static_cast<std::uint64_t>(*text - '0');
    const bool number = text != begin;
    for (const auto& [unit, ns] : {Unit{"ns", 1}, Unit{"us", NS_PER_US}, Unit{"ms", NS_PER_MS}, Unit{"s", NS_PER_S}})
        if (number && std::strcmp(text, unit) == 0) {
            to = value * ns;
            return true;
        }
    return false;
}

void add_duration(Text& text, std::uint64_t ns)
{
    const bool ms = ns >= NS_PER_MS;
    const std::uint64_t tenths = ns / (ms ? NS_PER_MS / 10 : NS_PER_US / 10);
    text.add(tenths / 10, 10);
    text.add('.');
    text.add(tenths % 10, 10);
    text.add(ms ? " ms" : " us", 4);
}

void add_loop(Text& text, const lw_loop_slot& slot)
{
    text.add(" loop ", 7);
    char name[17] = {};
    if (slot.name != nullptr)
        text.add(slot.name, 64);
    else if (own_syscall(SYS_prctl, PR_GET_NAME, word(name)) == 0)
        text.add(name, sizeof name);
}

std::uint64_t take_hex(const char*& at)
{
    std::uint64_t value = 0;
    for (;; ++at) {
        const char c = *at;
        if (c >= '0' && c <= '9')
            value = value * 16 + static_cast<std::uint64_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + static_cast<std::uint64_t>(c - 'a' + 10);
        else
            return value;
    }
}

// "/usr/bin/server+0x1234", the offset in the file. By the kernel's list: ld.so's would need its lock.
bool add_module(Text& text, const char* line, std::uint64_t address)
{
    const char* at = line;
    const std::uint64_t start = take_hex(at);
    if (*at++ != '-') return false;
    const std::uint64_t end = take_hex(at);
    if (address < start || address >= end) return false;
    at += std::strlen(" r-xp ");
    const std::uint64_t offset = take_hex(at);
    const char* const path = std::strchr(at, '/');
    if (path == nullptr) return false;
    text.add(path, 256);
    text.add("+0x", 4);
    text.add(address - start + offset, 16);
    return true;
}

void add_place(Text& text, std::uint64_t address)
{
    bool found = false;
    read_lines("/proc/self/maps", [&](const char* line) { return found = add_module(text, line, address); });
    if (found) return;
    text.add("0x", 3);
    text.add(address, 16);
}

void add_call(Text& text, const Longest& call)
{
    add_duration(text, call.lasted_ns);
    text.add(" in ", 5);
    if (call.count > 1) {
        text.add(call.count, 10);
        text.add(" calls of ", 11);
    }
    text.add(call.call, 32);
    if (call.detail.text[0] != '\0' || call.detail.fd >= 0) {
        text.add('(');
        if (call.detail.fd >= 0) text.add(static_cast<std::uint64_t>(call.detail.fd), 10);
        if (call.detail.text[0] != '\0' && call.detail.fd >= 0) text.add(" ", 2);
        text.add(call.detail.text, sizeof call.detail.text);
        text.add(')');
    }
    text.add(" called from ", 14);
    // The return address may be the first byte of another function: of one that ends with the call.
    add_place(text, call.detail.caller - 1);
}

}  // namespace

bool asks_for_standalone()
{
    const char* const wish = std::getenv("LOOPWATCH");
    return wish != nullptr && *wish != '\0' && std::strcmp(wish, "off") != 0;
}

bool read_standalone_wish()
{
    if (!asks_for_standalone()) return false;
    const char* const wish = std::getenv("LOOPWATCH");
    char line[256];
    Text text(line);
    text.add("loopwatch: ", 12);
    if (std::strcmp(wish, "warn") == 0) standalone = Standalone::warn;
    if (std::strcmp(wish, "strict") == 0) standalone = Standalone::strict;
    if (const char* const log = std::getenv("LOOPWATCH_LOG"); log != nullptr && *log != '\0') open_log(log);
    note_log();
    const bool good = take_duration("LOOPWATCH_THRESHOLD", 100 * NS_PER_MS, threshold_ns) &
                      take_duration("LOOPWATCH_BLOCK_THRESHOLD", 10 * NS_PER_MS, block_threshold_ns);
    if (good && standalone != Standalone::off) return true;
    text.add("not armed: ", 12);
    text.add(good ? "LOOPWATCH is neither warn, strict nor off"
                  : "LOOPWATCH_THRESHOLD and LOOPWATCH_BLOCK_THRESHOLD are whole numbers with a unit: 50ms",
             128);
    say(line, text);
    standalone = Standalone::off;
    return false;
}

void say_armed(bool seen)
{
    char line[320];
    Text text(line);
    text.add("loopwatch: ", 12);
    if (seen) {
        text.add("armed, threshold ", 18);
        add_duration(text, threshold_ns);
        text.add(", block threshold ", 19);
        add_duration(text, block_threshold_ns);
    } else {
        text.add(
            "not armed: a call of our own did not come by the shim. Is another library in LD_PRELOAD before it, or the "
            "program linked with a sanitizer or RTLD_DEEPBIND? Name libloopwatch_preload.so first.",
            256);
    }
    say(line, text);
}

// The one line under a filter that nobody here knows: each has to allow write(), or its program could say nothing. Made
// without system calls, hence of constants, character by character.
void say_unarmed(unsigned filters)
{
    const bool known = filters != unknown_filters;
    char line[320];
    Text text(line);
    for (const char* at = known ? "loopwatch: not armed: the program was started under a seccomp filter, which may end "
                                  "it for a system call of the shim's. If it refuses them instead, as those of "
                                  "containers do: LOOPWATCH_FILTERS="
                                : "loopwatch: not armed: without /proc nothing tells whether a seccomp filter may end "
                                  "the program for a system call of the shim's. If none does: LOOPWATCH_FILTERS=";
         *at != '\0'; ++at)
        text.add(*at);
    text.add(known ? filters : 1, 10);
    text.add('\n');
    raw_syscall(SYS_write, 2, word(line), text.length(line));
}

void say_sandboxed()
{
    char line[160];
    Text text(line);
    text.add(
        "loopwatch: the program restricts its system calls (seccomp), write() may be none of those it allows: nothing "
        "is said "
        "from here on",
        159);
    say(line, text);
}

void note_call(const lw_loop_slot& slot, const char* call, CallTimes times, const lw_call_detail& detail)
{
    const std::uint64_t lasted_ns = times.end_ns - times.start_ns;
    if (longest.seq == slot.seq && longest.call == call && longest.detail.caller == detail.caller) {
        longest.lasted_ns += lasted_ns;
        if (lasted_ns > longest.longest_ns) longest.longest_ns = lasted_ns;
        ++longest.count;
    } else if (longest.seq != slot.seq || lasted_ns > longest.lasted_ns) {
        longest = {slot.seq, lasted_ns, lasted_ns, 1, call, detail};
    }
}

void forget_longest()
{
    longest = {};
}

void say_dispatch(const lw_loop_slot& slot, const Dispatch& dispatch, bool slow)
{
    const bool called = longest.seq == dispatch.seq && longest.call != nullptr;
    if (!slow && !(called && longest.longest_ns >= block_threshold_ns)) return;
    __atomic_fetch_add(&findings, 1, __ATOMIC_RELAXED);
    char line[768];
    Text text(line);
    text.add("loopwatch: ", 12);
    lw_task task;
    if (dispatch.task != nullptr && copy_out(task, dispatch.task) && task.name != nullptr)
        text.add(task.name, LW_NAME_BYTES);
    else
        text.add("a callback", 11);
    text.add(slow ? " held" : " blocked", 9);
    add_loop(text, slot);
    text.add(" for ", 6);
    if (slow) {
        add_duration(text, dispatch.end_ns - dispatch.start_ns);
        if (called) text.add(": ", 3);
    }
    if (called) add_call(text, longest);
    if (slow && !called) text.add(": on CPU, waiting for one, or in short calls", 64);
    say(line, text);
    longest.call = nullptr;
    if (standalone == Standalone::strict) own_syscall(SYS_exit_group, failed);
}

}  // namespace loopwatch::preload
