// SPDX-License-Identifier: Apache-2.0
//
// LineSink: reports as lines (Encoder) in a file, pipe or terminal (Output). A slow reader blocks nothing: lines queue
// up to most_queued bytes, and what comes beyond is dropped and counted.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "output/encoder.hpp"
#include "output/output.hpp"
#include "output/sink.hpp"

namespace loopwatch {

class LineSink final : public Sink {
public:
    static constexpr std::size_t most_queued = 8u << 20;

    LineSink(Output output, std::unique_ptr<Encoder> encoder) : output_(std::move(output)), encoder_(std::move(encoder))
    {
    }

    Result<void> take(const Report& report) override;
    Result<void> flush() override;
    Result<void> close(bool wait_for_reader) override;
    std::uint64_t lost() const override { return lost_; }
    int waits_for() const override { return queued().empty() ? -1 : output_.descriptor(); }
    bool for_people() const override { return encoder_->for_people(); }

private:
    // --trace brings records by the hundred thousand a second: not each is written by itself.
    static constexpr std::size_t most_at_once = 64u << 10;

    std::string_view queued() const { return std::string_view(lines_).substr(written_); }

    Output output_;
    std::unique_ptr<Encoder> encoder_;
    std::string lines_;
    std::size_t written_ = 0;  // of `lines_`
    std::uint64_t lost_ = 0;
};

}  // namespace loopwatch
