// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch schema`: the JSON Schema (draft 2020-12) of one output line, made from the tables the encoder uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace loopwatch {

// As indented JSON. Published form: fields that it does not know are allowed, as later versions may add some. `strict`
// refuses them; for tests.
std::string output_schema(bool strict = false);

// JSON types of what --fail-on may name: findings, not steps of tasks or statistics.
std::vector<std::string_view> finding_types();

}  // namespace loopwatch
