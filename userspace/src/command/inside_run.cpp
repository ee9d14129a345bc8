// SPDX-License-Identifier: Apache-2.0
#include "command/inside_run.hpp"

#include <fmt/format.h>

#include <csignal>
#include <memory>

#include "attach/shim_source.hpp"
#include "command/session.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t unmet_ns = 100'000'000;  // by then what was started has been met, or has ended

}  // namespace

Result<int> run_from_inside(SessionOptions options, const std::vector<std::string>& command, Hub& hub)
{
    ShimSource* source = nullptr;
    options.program = command.front().substr(command.front().rfind('/') + 1);
    options.takes_all_signals = true;
    options.hand_on = [&](int number) { source->launched().signal(number); };
    // A terminal's ^C has reached the program already, as its own.
    options.end_program = [&](const EndingSignals::Signal* signal) {
        if (!signal || !signal->from_terminal) source->launched().signal(signal ? signal->number : SIGTERM);
        return true;
    };
    options.wait_status = [&](std::uint32_t pid) {
        const bool is_program = pid == static_cast<std::uint32_t>(source->launched().pid());
        return is_program ? source->launched().wait_status() : std::nullopt;
    };
    const ShimSourceOptions of_source{options.thresholds, options.follow_children};
    auto session = Session::open(std::move(options), hub);
    if (!session) return session.error();
    auto opened = ShimSource::open(of_source, command, (*session)->engine(), (*session)->worker());
    if (!opened) return opened.error();
    source = opened->get();
    (*session)->begin(*source, source->tiers());
    if ((*session)->failure()) return *(*session)->failure();  // before the program is started
    if (auto launched = source->launch(); !launched) return launched.error();
    (*session)->drop_privileges_at(monotonic_ns() + unmet_ns, CoreWork::shims);
    const auto code = (*session)->run();
    if (!code) return code.error();
    if (*code != ExitCode::done) return static_cast<int>(*code);
    if (!source->launched().status()) {
        print_note(fmt::format("the session is over, and {} (pid {}) runs until it ends: it was sent the same signals",
                               command.front(), source->launched().pid()));
        return 128 + (*session)->ended_by().value_or(EndingSignals::Signal{SIGTERM, "", true, false}).number;
    }
    const int status = *source->launched().status();
    return (*session)->end_reason() == "duration" && status == 128 + SIGTERM ? 0 : status;
}

}  // namespace loopwatch
