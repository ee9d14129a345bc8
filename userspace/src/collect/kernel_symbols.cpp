// SPDX-License-Identifier: Apache-2.0
#include "collect/kernel_symbols.hpp"

#include <bcc/bcc_syms.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>

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

KernelSymbols::KernelSymbols(const char* list) : file_(::open(list, O_RDONLY | O_CLOEXEC))
{
}

bool KernelSymbols::read_some()
{
    constexpr int pieces = 16;  // the kernel gives a page at a time
    std::array<char, 4096> piece;
    for (int i = 0; i < pieces && file_; ++i) {
        const auto size = ::read(file_.raw(), piece.data(), piece.size());
        if (size <= 0) {
            file_ = {};
            break;
        }
        partial_.append(piece.data(), static_cast<std::size_t>(size));
        std::size_t begin = 0;
        for (auto end = partial_.find('\n'); end != std::string::npos; end = partial_.find('\n', begin)) {
            take({partial_.data() + begin, end - begin});
            begin = end + 1;
        }
        partial_.erase(0, begin);
    }
    return static_cast<bool>(file_);
}

// "address type name", and a tab and a module's name.
void KernelSymbols::take(std::string_view line)
{
    std::uint64_t address = 0;
    const auto [after, error] = std::from_chars(line.data(), line.data() + line.size(), address, 16);
    const auto type_at = static_cast<std::size_t>(after - line.data()) + 1, name_at = type_at + 2;
    if (error != std::errc() || address == 0 || name_at >= line.size()) return;
    // Aliases share an address: the range goes on until the next address.
    if (open_.origin != WakeOrigin::unknown && address > open_.begin) {
        open_.end = address;
        ranges_.push_back(open_);
        open_.origin = WakeOrigin::unknown;
    }
    if (line[type_at] != 't' && line[type_at] != 'T') return;
    const auto name = line.substr(name_at);
    const auto origin = meaning(name.substr(0, name.find('\t')));
    if (origin != WakeOrigin::unknown) open_ = {address, 0, origin};
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

WakeOrigin KernelSymbols::origin(std::span<const std::uint64_t> kernel_stack)
{
    if (kernel_stack.empty()) return WakeOrigin::unknown;
    while (read_some()) {
    }
    if (ranges_.empty()) return WakeOrigin::unknown;
    WakeOrigin best = WakeOrigin::thread;
    for (const auto address : kernel_stack)
        for (const auto& range : ranges_)
            if (address >= range.begin && address < range.end && rank(range.origin) > rank(best)) best = range.origin;
    return best;
}

}  // namespace loopwatch
