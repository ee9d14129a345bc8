// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <fstream>

#include "collect/kernel_symbols.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;

namespace {

// As /proc/kallsyms has them; the ranges end at the next address, of whatever type.
constexpr const char* list = R"(0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000100 t hrtimer_wakeup
ffffffff81000100 t an_alias
ffffffff81000200 T signal_wake_up_state
ffffffff81000300 T asm_sysvec_apic_timer_interrupt
ffffffff81000380 d data_between
ffffffff81000400 T wake_up_process
no address here
ffffffff81000500 t handle_softirqs	[some_module]
ffffffff81000600 D hrtimer_interrupt
ffffffff81000700 T the_end
)";

class Symbols {
public:
    explicit Symbols(const std::string& text)
    {
        std::ofstream(directory_ / "kallsyms") << text;
        symbols_.emplace((directory_ / "kallsyms").c_str());
    }
    WakeOrigin origin(std::vector<std::uint64_t> stack) { return symbols_->origin(stack); }

private:
    TemporaryDirectory directory_;
    std::optional<KernelSymbols> symbols_;
};

}  // namespace

TEST_CASE("a wake-up came about as the functions on its stack say")
{
    Symbols symbols(list);
    CHECK(symbols.origin({}) == WakeOrigin::unknown);
    CHECK(symbols.origin({0xffffffff81000410}) == WakeOrigin::thread);
    CHECK(symbols.origin({0xffffffff810001ff}) == WakeOrigin::timer);
    CHECK(symbols.origin({0xffffffff81000200}) == WakeOrigin::signal);
    CHECK(symbols.origin({0xffffffff81000310}) == WakeOrigin::irq);
    CHECK(symbols.origin({0xffffffff81000380}) == WakeOrigin::thread);
    CHECK(symbols.origin({0xffffffff81000510}) == WakeOrigin::irq);
    CHECK(symbols.origin({0xffffffff81000610}) == WakeOrigin::thread);  // data of that name
}

TEST_CASE("a timer that came through an interrupt is a timer, in whichever order they stand on the stack")
{
    Symbols symbols(list);
    CHECK(symbols.origin({0xffffffff81000310, 0xffffffff81000110}) == WakeOrigin::timer);
    CHECK(symbols.origin({0xffffffff81000110, 0xffffffff81000310}) == WakeOrigin::timer);
    CHECK(symbols.origin({0xffffffff81000310, 0xffffffff81000210}) == WakeOrigin::signal);
}

TEST_CASE("where the kernel shows no addresses every origin is unknown")
{
    CHECK(Symbols("0000000000000000 t hrtimer_wakeup\nffffffff81000100 t next\n").origin({0x10}) ==
          WakeOrigin::unknown);
    KernelSymbols none("/nowhere/kallsyms");
    CHECK_FALSE(none.read_some());
    CHECK(none.origin(std::vector<std::uint64_t>{0x10}) == WakeOrigin::unknown);
    CHECK(none.name(0x10).empty());
}

TEST_CASE("the list is read in pieces, and lines go on from one to the next")
{
    // A line of the list lies across the end of the first 4,096 bytes, and another one across the end of the 20th.
    std::string text;
    const auto fill_up_to = [&](std::size_t size) {
        const std::string line = "ffffffff81000080 t an_alias\n";
        while (text.size() + 2 * line.size() < size) text += line;
        text += "ffffffff81000080 t " + std::string(size - text.size() - 20, 'x') + "\n";
    };
    fill_up_to(4'096 - 25);
    text += "ffffffff81000100 t hrtimer_wakeup\n";
    fill_up_to(20 * 4'096 - 30);
    text += "ffffffff81000200 t signal_wake_up_state\nffffffff81000300 t end\n";
    Symbols symbols(text);
    CHECK(symbols.origin({0xffffffff810001ff}) == WakeOrigin::timer);
    CHECK(symbols.origin({0xffffffff81000210}) == WakeOrigin::signal);
}
