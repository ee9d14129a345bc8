// SPDX-License-Identifier: Apache-2.0
//
// Encoder: a report as text, for a LineSink. One format a file.
#pragma once

#include <string>

#include "analysis/finding.hpp"

namespace loopwatch {

class Encoder {
public:
    virtual ~Encoder() = default;
    // Appends whole lines, or nothing.
    virtual void encode(const Report& report, std::string& lines) = 0;
    virtual bool for_people() const { return false; }
};

}  // namespace loopwatch
