// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <string>

#include "output/task_text.hpp"

using namespace loopwatch;

namespace {

std::string table_of(const WaitingFor& what)
{
    TaskSource source{{{1, 0}}, [&what](std::size_t) {
                          ListedTask listed;
                          listed.task.id = std::to_string(1);
                          listed.task.labels = {{"request", "42"}};
                          listed.waiting_for = what;
                          return listed;
                      }};
    std::string text;
    const auto written = task_table(source, TextStyle{}, [&](std::string_view lines) {
        text += lines;
        return Result<void>();
    });
    REQUIRE(written);
    return text;
}

bool says(const WaitingFor& what, const char* words)
{
    return table_of(what).find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("what a task waits for is told in words")
{
    const std::optional<std::uint64_t> none;
    CHECK(says({"timer", "", none, "", "", 1'500'000'000, "", none}, "timer, 1.5 s left"));
    CHECK(says({"timer", "", none, "", "", 90'000'000'000, "", none}, "timer, 1m30s left"));
    CHECK(says({"timer", "", none, "", "", 0, "", none}, "timer, due"));
    CHECK(says({"io", "async_receive", none, "", "", none, "", none}, "  async_receive  "));
    CHECK(says({"io", "async_receive", 7, "socket:[1]", "10.0.0.1:443", none, "", none},
               "async_receive(7 → 10.0.0.1:443)"));
    CHECK(says({"io", "async_accept", 7, "socket:[1]", "", none, "", none, "0.0.0.0:80"},
               "async_accept(7 at 0.0.0.0:80)"));
    CHECK(says({"mutex", "printer", none, "", "", none, "9", none}, "mutex printer, held by #9"));
    CHECK(says({"channel", "orders", none, "", "", none, "", 0}, "channel orders, empty"));
    CHECK(says({"channel", "", none, "", "", none, "", 4}, "channel, full: 4"));
    CHECK(says({"event", "opened\x1b[2J", none, "", "", none, "", none}, "event opened\\x1b[2J"));
    CHECK(says({"executor", "", none, "", "", none, "", none}, "request=42"));
}

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
