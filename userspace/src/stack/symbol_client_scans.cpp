// SPDX-License-Identifier: Apache-2.0
//
// What files claim of themselves: read by the worker, compared with the file beside, kept.
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "stack/symbol_client.hpp"
#include "util/beside.hpp"
#include "util/detached.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

// Answered as frames, whose checks and limits hold for it too: a frame an attribute, its function the name, its file
// the value.
void SymbolClient::parse_context(std::uint32_t pid, std::span<const std::byte> payload, ContextDone done)
{
    std::vector<std::uint8_t> raw(payload.size());
    std::ranges::transform(payload, raw.begin(), [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
    ask({0,
         pid,
         {},
         [done = std::move(done)](const std::vector<Frame>& frames) {
             std::vector<ContextAttribute> attributes;
             for (const auto& frame : frames)
                 if (!frame.function.empty() && attributes.size() < most_context_attributes &&
                     std::max(frame.function.size(), frame.file.size()) <= longest_context_text)
                     attributes.push_back({frame.function, frame.file});
             done(std::move(attributes));
         }},
        {{"do", "parse_context"}, {"pid", pid}}, std::move(raw));
}
namespace {

constexpr std::uint64_t most_checking_ns = 10'000'000'000;

}  // namespace

void SymbolClient::scan_ahead(int elf, ScanOptions options, Done done)
{
    if (const auto file = files_.use(elf, 0); file != files_.end()) {
        const ScanKey key(file->first, options.coroutines);
        const auto* const known = scans_.find(key);
        if (auto* const request = awaited(key)) {
            request->done = [first = std::move(request->done), done](const std::vector<Frame>&) {
                first({});
                done({});
            };
        } else if (!known || !*known) {
            scans_.drop(key);
            const auto asked = ask_for_scan(next_id_++, elf, file->second, key, done);
            if (!asked) scans_.keep(key, asked.error());  // that is the answer
        }
        files_.release(file);
        if (awaited(key)) return;
    }
    finished_.push_back({std::move(done), {}});
    watch();
}

const Result<ModuleScan>* SymbolClient::scanned(int elf, ScanOptions options)
{
    static const Result<ModuleScan> refused = Error{ExitCode::failed, "not a regular file", {}};
    const auto file = files_.use(elf, 0);
    if (file == files_.end()) return &refused;
    const auto* const known = scans_.find({file->first, options.coroutines});
    files_.release(file);
    return known;
}

Result<ModuleScan> SymbolClient::scan(int elf, ScanOptions options)
{
    const auto* known = scanned(elf, options);
    if (!known || !*known) scan_ahead(elf, options, [](const std::vector<Frame>&) {});
    while (!(known = scanned(elf, options))) {
        // Not the timer, which wakes while answers to others wait for poll().
        pollfd ready[] = {{channel_ ? channel_->descriptor() : -1,
                           static_cast<short>(POLLIN | (channel_ && channel_->unsent_bytes() ? POLLOUT : 0)), 0},
                          {beside_->raw(), POLLIN, 0}};
        if (::poll(ready, std::size(ready), 1000) < 0 && errno != EINTR)
            return errno_error(ExitCode::failed, "symbol worker");
        pump();
        watch();
    }
    return *known;
}

SymbolClient::Request* SymbolClient::awaited(const ScanKey& key)
{
    if (const auto request = std::ranges::find(requests_, key, &Request::scan); request != requests_.end())
        return &*request;
    const auto check = std::ranges::find(checks_, key, [](const Check& one) { return one.request.scan; });
    return check != checks_.end() ? &check->request : nullptr;
}

bool SymbolClient::answered(std::uint64_t asked) const
{
    return finished_.empty() && (requests_.empty() || requests_.front().id > asked) &&
           std::ranges::none_of(checks_, [&](const Check& check) { return check.request.id <= asked; });
}

Result<void> SymbolClient::ask_for_scan(std::uint64_t id, int elf, const TargetFiles::File& file, const ScanKey& key,
                                        Done done)
{
    if (files_.is_quarantined(key.first)) return Error{ExitCode::failed, "the file has crashed the symbol worker", {}};
    if (auto ready = ensure_worker(); !ready) return ready;
    enqueue({id, 0, {}, std::move(done), key, Fd(::fcntl(elf, F_DUPFD_CLOEXEC, 0))});
    if (!send({{"do", "scan"}, {"id", id}, {"file", file.id}, {"coroutines", key.second}}, {}, elf))
        return errno_error(ExitCode::failed, "symbol worker");
    return {};
}

void SymbolClient::check(Request request, ModuleScan scan)
{
    if (!makes_claims(scan)) return answer_scan(request, std::move(scan));
    if (!may_detach_another())
        return answer_scan(request, Error{ExitCode::failed, "reads of other files have not returned", {}});
    auto checked =
        run_detached([file = std::make_shared<Fd>(std::move(request.file)),
                      scan = std::move(scan)]() mutable { return check_claims(file->raw(), std::move(scan)); },
                     beside_);
    checks_.push_back({std::move(request), std::move(checked), monotonic_ns() + most_checking_ns});
}

void SymbolClient::take_checked()
{
    for (auto& one : std::exchange(checks_, {}))
        if (is_ready(one.checked))
            answer_scan(one.request, one.checked.get());
        else if (monotonic_ns() >= one.until_ns)
            answer_scan(one.request, Error{ExitCode::failed, "it could not be read within 10 s", {}});
        else
            checks_.push_back(std::move(one));
}

// Under the number that it had: who waits until it is answered() goes on waiting.
void SymbolClient::scan_again(Request& request)
{
    const auto file = files_.use(request.file.raw(), 0);
    auto asked = file == files_.end()
                     ? Result<void>(Error{ExitCode::failed, "no descriptor is left to read it by", {}})
                     : ask_for_scan(request.id, request.file.raw(), file->second, *request.scan, request.done);
    files_.release(file);
    if (!asked) answer_scan(request, asked.error());
}

void SymbolClient::answer_scan(Request& request, Result<ModuleScan> scan)
{
    scans_.keep(*request.scan, std::move(scan));
    finished_.push_back({std::move(request.done), {}});
}

}  // namespace loopwatch
