// SPDX-License-Identifier: Apache-2.0
#include "resolve/earlier_descriptors.hpp"

#include "analysis/calls.hpp"

namespace loopwatch {

namespace {

// use(fd, target, peer) of each descriptor that is waited on.
template <class Use>
void each_descriptor(DispatchFacts& facts, Use use)
{
    for (auto& block : facts.blocks_by_place)
        if (const int argument = fd_argument(block.syscall); argument >= 0 && argument < 6)
            use(static_cast<std::int32_t>(block.args[argument]), block.fd_target, block.peer);
    for (auto& call : facts.calls)
        if (call.fd >= 0) use(call.fd, call.fd_target, call.peer);
}

}  // namespace

void EarlierDescriptors::complete(DispatchFacts& facts)
{
    const auto tid = facts.subject.tid;
    const auto found = dispatches_.find(tid);
    const bool same =
        found != dispatches_.end() && found->second.pid == facts.subject.pid && found->second.seq == facts.seq;
    if (same)
        each_descriptor(facts, [&](std::int32_t fd, std::string& target, std::string& peer) {
            const auto known = found->second.descriptors.find(fd);
            if (known == found->second.descriptors.end()) return;
            if (target.empty()) target = known->second.target;
            if (target == known->second.target && peer.empty()) peer = known->second.peer;
        });
    if (!facts.in_progress) {
        if (found != dispatches_.end()) dispatches_.erase(found);
        return;
    }
    if (!same && found == dispatches_.end() && dispatches_.size() >= max_threads)
        dispatches_.erase(dispatches_.begin());
    auto& dispatch = dispatches_[tid];
    if (!same) dispatch = {facts.subject.pid, facts.seq, {}};
    each_descriptor(facts, [&](std::int32_t fd, const std::string& target, const std::string& peer) {
        if (!target.empty()) dispatch.descriptors[fd] = {target, peer};
    });
}

}  // namespace loopwatch
