// SPDX-License-Identifier: Apache-2.0
//
// RecordReader: lines of NDJSON as records, with their stacks, wherever those were written.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "output/json_table.hpp"
#include "util/result.hpp"

namespace loopwatch {

class RecordReader {
public:
    // Stacks that are kept: as many as a writer counts on, twice.
    static constexpr std::size_t most_stacks = 131'072;

    // None: the line is a stack, which later records name. Fails on what is no record of loopwatch/1, and on a stack
    // that was not written before; the next line can be read all the same.
    Result<std::optional<json::Json>> read(std::string_view line);

private:
    bool put_stacks(json::Json& value) const;

    std::unordered_map<std::string, json::Json> stacks_;
};

}  // namespace loopwatch
