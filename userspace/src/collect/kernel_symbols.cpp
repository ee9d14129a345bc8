// SPDX-License-Identifier: Apache-2.0
#include "collect/kernel_symbols.hpp"

#include <bcc/bcc_syms.h>

#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

namespace loopwatch {

namespace {

// Names of x86-64 kernels 6.1 to 6.18. A timer's wake passes through an interrupt as well, so the more telling origin
// wins.
WakeOrigin meaning(std::string_view name)
{
    using std::string_view;
    for (const string_view timer :
         {"hrtimer_interrupt", "__hrtimer_run_queues", "run_timer_softirq", "hrtimer_wakeup", "tick_nohz_handler"})
        if (name == timer) return WakeOrigin::timer;
    for (const string_view signal : {"signal_wake_up_state", "__send_signal_locked", "complete_signal"})
        if (name == signal) return WakeOrigin::signal;
    for (const string_view interrupt :
         {"handle_softirqs", "__do_softirq", "asm_common_interrupt", "common_interrupt", "__irq_exit_rcu"})
        if (name == interrupt) return WakeOrigin::irq;
    if (name.starts_with("asm_sysvec_") || name.starts_with("sysvec_")) return WakeOrigin::irq;
    return WakeOrigin::unknown;
}

int rank(WakeOrigin origin)
{
    switch (origin) {
        case WakeOrigin::timer: return 3;
        case WakeOrigin::signal: return 2;
        case WakeOrigin::irq: return 1;
        default: return 0;
    }
}

}  // namespace

// 120,000 lines "address type name [module]" at each start: scanf took a third of the time from exec to session_start
// (30 ms).
KernelSymbols::KernelSymbols()
{
    std::ifstream symbols("/proc/kallsyms");
    Range open{0, 0, WakeOrigin::unknown};
    for (std::string line; std::getline(symbols, line);) {
        std::uint64_t address = 0;
        const auto [after, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
        const auto type_at = static_cast<std::size_t>(after - line.data()) + 1, name_at = type_at + 2;
        if (error != std::errc() || address == 0 || name_at >= line.size()) continue;
        // Aliases share an address: the range goes on until the next address.
        if (open.origin != WakeOrigin::unknown && address > open.begin) {
            open.end = address;
            ranges_.push_back(open);
            open.origin = WakeOrigin::unknown;
        }
        if (line[type_at] != 't' && line[type_at] != 'T') continue;
        const std::string_view name(line.data() + name_at, line.size() - name_at);
        const auto origin = meaning(name.substr(0, name.find('\t')));  // a module's name follows a tab
        if (origin != WakeOrigin::unknown) open = {address, 0, origin};
    }
}

KernelSymbols::~KernelSymbols()
{
    if (all_) bcc_free_symcache(all_, -1);
}

void KernelSymbols::load_all()
{
    if (!all_) all_ = bcc_symcache_new(-1, nullptr);
}

std::string KernelSymbols::name(std::uint64_t address) const
{
    bcc_symbol symbol = {};
    if (!all_ || bcc_symcache_resolve_no_demangle(all_, address, &symbol) != 0 || !symbol.name) return {};
    return symbol.name;
}

WakeOrigin KernelSymbols::origin(std::span<const std::uint64_t> kernel_stack) const
{
    if (kernel_stack.empty() || ranges_.empty()) return WakeOrigin::unknown;
    WakeOrigin best = WakeOrigin::thread;
    for (const auto address : kernel_stack)
        for (const auto& range : ranges_)
            if (address >= range.begin && address < range.end && rank(range.origin) > rank(best)) best = range.origin;
    return best;
}

}  // namespace loopwatch
