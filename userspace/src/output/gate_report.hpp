// SPDX-License-Identifier: Apache-2.0
//
// What fails a run, in the forms that other tools read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/gate.hpp"

namespace loopwatch {

enum class ReportFormat { junit, sarif, github };

struct ReportWish {
    ReportFormat format = ReportFormat::junit;
    std::string file;  // empty, of github's annotations: stdout
};

// "junit:FILE", "sarif:FILE", "github"; empty: it is none of them.
std::optional<ReportWish> parse_report(std::string_view text);

// JUnit's XML: a test case a failure, one that passed if there is none. SARIF 2.1.0. GitHub's workflow commands. File
// names are as the debug information has them, but for the directory in which we are.
std::string report_text(ReportFormat format, const std::vector<Failure>& failures, std::string_view name,
                        std::string_view directory);

}  // namespace loopwatch
