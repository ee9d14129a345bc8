// SPDX-License-Identifier: Apache-2.0
//
// FlightRecorder: the last minutes of all reports, before any limit, in bounded memory: a ring of parts, of which the
// oldest gives way. A dump is NDJSON that can be read by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "daemon/labelled_encoder.hpp"
#include "output/sink.hpp"

namespace loopwatch {

class FlightRecorder final : public Sink {
public:
    static constexpr std::size_t most_bytes = 16u << 20, part_bytes = 1u << 20;

    FlightRecorder(LabelledEncoder::LabelsOf labels_of, std::uint32_t hidden_pid);

    Result<void> take(const Report& report) override;
    Result<void> flush() override { return {}; }
    Result<void> close(bool) override { return {}; }

    // Off: what comes is not kept, as it costs what is to be saved.
    void record(bool on) { on_ = on; }
    std::size_t bytes() const noexcept { return bytes_; }
    // All that is kept, oldest first.
    std::string dump() const;
    // CLOCK_MONOTONIC, of the oldest report; 0: there is none.
    std::uint64_t since_ns() const noexcept { return parts_.empty() ? 0 : parts_.front().since_ns; }

private:
    struct Part {
        std::uint64_t since_ns = 0;
        std::string lines;
    };

    LabelledEncoder encoder_;
    std::deque<Part> parts_;
    std::size_t bytes_ = 0;
    bool on_ = true;
};

// Writes `lines` to a file of its own in the folder, NAME-TIME.ndjson, which is made if it is missing; of those of this
// name the newest `keep` remain. The path. Fails with ExitCode::failed.
Result<std::string> write_dump(const std::string& folder, const std::string& name, const std::string& lines,
                               std::size_t keep);

}  // namespace loopwatch
