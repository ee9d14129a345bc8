// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>

#include "output/task_text.hpp"

using namespace loopwatch;

TEST_CASE("a long row of tasks that await each other is drawn in lines that fit")
{
    constexpr std::size_t many = 1000;
    TaskSource source{{}, [](std::size_t at) {
                          ListedTask listed;
                          listed.task.id = std::to_string(at + 1);
                          listed.task.await_chain.push_back({"step", "", 1});
                          return listed;
                      }};
    for (std::uint64_t id = 1; id <= many; ++id) source.links.push_back({id, id < many ? id + 1 : 0});
    const auto text = task_forest(source, TextStyle{});
    CHECK(text.find("task#1000") != std::string::npos);
    CHECK(text.size() < many * 500);  // 6 MB, if each went further in
}
