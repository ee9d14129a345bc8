// SPDX-License-Identifier: Apache-2.0
#include "analysis/facts.hpp"

namespace loopwatch {

namespace {

// Short ones stand in the string itself.
std::size_t bytes_of(const std::string& text)
{
    return text.capacity() < sizeof text ? 0 : text.capacity();
}

std::size_t bytes_of(const std::optional<Waker>& waker)
{
    return waker ? bytes_of(waker->stack) : 0;
}

}  // namespace

std::size_t bytes_of(const std::vector<Frame>& frames)
{
    std::size_t bytes = frames.capacity() * sizeof(Frame);
    for (const auto& frame : frames)
        bytes += bytes_of(frame.function) + bytes_of(frame.module) + bytes_of(frame.build_id) + bytes_of(frame.file) +
                 bytes_of(frame.called);
    return bytes;
}

std::size_t bytes_of(const DispatchFacts& facts)
{
    std::size_t bytes = sizeof facts + facts.blocks_by_place.capacity() * sizeof(BlockFacts) +
                        facts.long_blocks.capacity() * sizeof(SingleBlock) +
                        facts.calls.capacity() * sizeof(CallFacts) + facts.samples.capacity() * sizeof(SampleFacts);
    for (const auto& block : facts.blocks_by_place)
        bytes += bytes_of(block.stack) + bytes_of(block.kernel_stack) + bytes_of(block.waker) + bytes_of(block.path) +
                 bytes_of(block.fd_target);
    for (const auto& single : facts.long_blocks) bytes += bytes_of(single.waker);
    for (const auto& call : facts.calls) bytes += bytes_of(call.stack) + bytes_of(call.text) + bytes_of(call.fd_target);
    for (const auto& sample : facts.samples) bytes += bytes_of(sample.stack);
    return bytes;
}

}  // namespace loopwatch
