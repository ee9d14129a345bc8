// SPDX-License-Identifier: Apache-2.0
//
// Where records go. One sink a file; several may stand side by side. A sink formats, an Output (output.hpp) writes
// bytes.
#pragma once

#include "analysis/finding.hpp"
#include "util/result.hpp"

namespace loopwatch {

class Sink {
public:
    virtual ~Sink() = default;
    // Fails when the record could not be written (disk full, reader gone); the session then ends with exit code 1.
    virtual Result<void> write(const Record& record) = 0;
};

}  // namespace loopwatch
