// SPDX-License-Identifier: Apache-2.0
//
// Where a task was spawned, which coroutine it runs and at which await it stands, read the way an outsider reads it.
#include <cstring>
#include <source_location>
#include <string>

#include <catch2/catch.hpp>

#include <loopwatch/function_name.hpp>
#include <loopwatch/rt.hpp>

using namespace loopwatch;

namespace shop {

constexpr unsigned save_await = __LINE__ + 3;
Task<> save(int)
{
    co_await yield();
}

constexpr unsigned order_await = __LINE__ + 3;
Task<> order(int n)
{
    if (n > 0) co_await save(n);
}

}  // namespace shop

TEST_CASE("a source_location is one pointer to what lw_location mirrors")
{
    const auto where = std::source_location::current();
    const lw_location* const mirrored = detail::location_of(where);
    CHECK(mirrored->line == where.line());
    CHECK(mirrored->column == where.column());
    CHECK(std::string(mirrored->file) == where.file_name());
    CHECK(std::string(mirrored->function) == where.function_name());
}

TEST_CASE("a function is called what people call it, whichever compiler wrote its name")
{
    CHECK(short_function("loopwatch::Task<void> shop::save(Order&)") == "shop::save");
    CHECK(short_function("loopwatch::Task<std::map<int, long> > {anonymous}::load(int)") == "{anonymous}::load");
    CHECK(short_function("Task<> (anonymous namespace)::wait_on(Event &)") == "(anonymous namespace)::wait_on");
    CHECK(short_function("Task<(anonymous namespace)::Order> shop::(anonymous namespace)::load(int)") ==
          "shop::(anonymous namespace)::load");
    CHECK(short_function("int main()") == "main");
    CHECK(short_function("main") == "main");
}

TEST_CASE("a suspended task tells its spawn site, its functions and the lines of its awaits, innermost first")
{
    Loop loop("test");
    std::string function[2], file;
    unsigned line[2] = {}, frames = 0, spawned = 0;
    const unsigned spawn_line = __LINE__ + 1;
    auto handle = spawn(loop, shop::order(1), "order");
    loop.post([&] {
        const lw_task* const task = loop.slot().tasks;
        REQUIRE(task != nullptr);
        CHECK(std::string(task->name) == "order");
        CHECK(task->id == handle.id());
        CHECK(task->state == LW_TASK_READY);
        spawned = task->created_at->line;
        file = task->leaf->suspended_at->file;
        for (const lw_frame* frame = task->leaf; frame != nullptr; frame = frame->awaiter, ++frames) {
            function[frames] = frame->created_at->function;
            line[frames] = frame->suspended_at->line;
        }
    });
    loop.run();
    REQUIRE(frames == 2);
    CHECK(spawned == spawn_line);
    CHECK(file == __FILE__);
    CHECK(line[0] == shop::save_await);
    CHECK(line[1] == shop::order_await);
    CHECK_THAT(function[0], Catch::Contains("shop::save(int)"));
    CHECK_THAT(function[1], Catch::Contains("shop::order(int)"));
}
