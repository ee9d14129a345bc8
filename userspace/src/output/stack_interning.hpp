// SPDX-License-Identifier: Apache-2.0
//
// StackInterning: a stack is written once, as a record of its own, and named by its id from then on. One slow callback
// of 150 ms in a Python program weighed 23 KB with the records beside it, the same 20 frames five times in them.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <vector>

#include "output/json_table.hpp"

namespace loopwatch {

class StackInterning {
public:
    // Ids that are kept; beyond, all are forgotten, and stacks are written again.
    static constexpr std::size_t most_known = 65'536;
    struct New {
        std::string id;
        json::Json frames;
    };

    // Replaces each stack in a record by its id, "stack" by "stack_id" and so on. Those that have not been written yet.
    std::vector<New> replace(json::Json& record);

private:
    void replace(json::Json& value, std::vector<New>& fresh);
    std::string intern(json::Json frames, std::vector<New>& fresh);

    std::unordered_set<std::string> known_;
};

}  // namespace loopwatch
