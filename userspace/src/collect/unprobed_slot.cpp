// SPDX-License-Identifier: Apache-2.0
#include "collect/unprobed_slot.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>

namespace loopwatch {

namespace {

constexpr int torn_retries = 4;

bool is_at(const lw_site& known, const UnprobedSite& site)
{
    return known.ip == site.ip && known.sp == site.sp && known.object == site.object && known.syscall == site.syscall;
}

static_assert(UnprobedSite::lone_poll == LW_LONE_POLL);

}  // namespace

std::uint64_t loop_frame(std::uint64_t stack_end)
{
    return stack_end > LW_ABOVE_LOOP ? stack_end - LW_ABOVE_LOOP : 0;
}

lw_unprobed unprobed_slot(std::span<const KnownSite> sites, std::uint64_t stack_end,
                          std::optional<std::uint64_t> begun_ns)
{
    lw_unprobed own = {};
    own.slot.stack_top = loop_frame(stack_end);
    for (const auto& [site, idle] : sites.first(std::min<std::size_t>(sites.size(), LW_SITES)))
        own.sites[own.site_count++] = {
            site.ip, site.sp, site.object, site.syscall, idle ? LW_VERDICT_IDLE : LW_VERDICT_NONE, 0, 0};
    if (begun_ns) {
        own.slot.seq = 1;
        own.slot.start = *begun_ns;
    }
    return own;
}

void store_verdict(lw_unprobed& own, const UnprobedSite& site, lw_verdict verdict)
{
    for (auto& known : own.sites)
        if (is_at(known, site)) std::atomic_ref(known.verdict).store(verdict);
}

void ask_unanswered(lw_unprobed& own)
{
    for (std::uint32_t i = 0; i < std::min<std::uint32_t>(own.site_count, LW_SITES); ++i) {
        lw_u32 none = LW_VERDICT_NONE;
        std::atomic_ref(own.sites[i].verdict).compare_exchange_strong(none, LW_VERDICT_ASK);
    }
}

bool has_verdict(const lw_unprobed& own, std::uint32_t site)
{
    return own.sites[site].verdict == LW_VERDICT_IDLE || own.sites[site].verdict == LW_VERDICT_BUSY;
}

bool has_site(const lw_unprobed& own, const UnprobedSite& site)
{
    return std::ranges::any_of(own.sites, [&](const lw_site& one) { return is_at(one, site); });
}

std::uint64_t ends_at(const lw_unprobed& own, const UnprobedSite& site)
{
    const auto* known = std::ranges::find_if(own.sites, [&](const lw_site& one) { return is_at(one, site); });
    return known == std::end(own.sites) ? 0 : known->ends;
}

std::uint64_t take_awake_ns(lw_unprobed& own, std::uint64_t now_ns)
{
    // One that never sleeps in a place of its own has no time of waking: then since its iteration began.
    auto since_ns = std::atomic_ref(own.woke_ns).load();
    if (since_ns == 0 && std::atomic_ref(own.slot.seq).load() % 2 == 1) since_ns = own.slot.start;
    const auto awake_ns = since_ns && now_ns > since_ns ? now_ns - since_ns : 0;
    return std::max<std::uint64_t>(awake_ns, std::atomic_ref(own.awake_ns).exchange(0));
}

std::optional<LoopState> iteration_state(const lw_unprobed& own)
{
    lw_unprobed copy = {};
    for (int attempt = 0; attempt < torn_retries; ++attempt) {
        copy = own;
        if (std::atomic_ref(const_cast<lw_u64&>(own.slot.seq)).load() == copy.slot.seq) break;
    }
    if (!(copy.slot.seq & 1)) return loop_state(copy.slot);
    bool began = !copy.began_unsure;
    for (const auto& unsure : std::span(copy.unsure).first(std::min(copy.unsure_count, lw_u32{LW_UNSURE}))) {
        const auto verdict = copy.sites[unsure.site % LW_SITES].verdict;
        if (verdict == LW_VERDICT_IDLE) copy.slot.start = std::max(copy.slot.start, unsure.left_ns);
        began = verdict == LW_VERDICT_IDLE || (verdict == LW_VERDICT_BUSY && began);
    }
    if (!began) --copy.slot.seq;
    return loop_state(copy.slot);
}

}  // namespace loopwatch
