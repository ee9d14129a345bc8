// SPDX-License-Identifier: Apache-2.0
//
// LabelledEncoder: records as NDJSON with interned stacks, each with the labels of its target: {"schema":…,"service":…
// Labels of a process are looked up when its target starts, and hold for all that is reported of that target.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "output/encoder.hpp"
#include "target/labels.hpp"

namespace loopwatch {

class LabelledEncoder final : public Encoder {
public:
    using LabelsOf = std::function<std::shared_ptr<const TargetLabels>(std::uint32_t pid)>;  // null: it has none

    // Of `hidden_pid` nothing is written.
    LabelledEncoder(LabelsOf labels_of, std::uint32_t hidden_pid);

    void encode(const Report& report, std::string& lines) override;
    // All stacks are written again, before they are named next.
    void forget_stacks();

private:
    LabelsOf labels_of_;
    std::uint32_t hidden_pid_;
    std::unique_ptr<Encoder> encoder_;
    std::unordered_map<std::uint32_t, std::string> fields_;  // JSON text of labels, by pid
};

// "service":"orders","version":"1.2", with the comma behind; empty: no labels. `build_id`: of the executable.
std::string label_fields(const TargetLabels& labels, const std::string& build_id);

}  // namespace loopwatch
