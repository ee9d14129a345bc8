// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>
#include <type_traits>
#include <vector>

#include "util/bounded.hpp"

using namespace loopwatch;

TEST_CASE("a bounded list has what fits, whatever count it is given")
{
    using Two = BoundedList<int, 2>;
    const int items[] = {1, 2, 3};
    const auto list = [](const Two& two) { return std::vector<int>(two.begin(), two.end()); };
    CHECK(list({items, 1}) == std::vector<int>{1});
    CHECK(list({items, 3}) == std::vector<int>{1, 2});
    CHECK(list({std::span(items).first(1), ~std::size_t{0}}) == std::vector<int>{1});
    Two two;
    CHECK(two.empty());
    for (const int item : items) two.push_back(item);
    CHECK(list(two) == std::vector<int>{1, 2});
    CHECK(std::is_trivially_copyable_v<Two>);
}

TEST_CASE("a bounded text ends within its room, and at the first NUL")
{
    char field[4];
    std::memset(field, 'x', sizeof field);
    CHECK(bounded_text(field).view() == "xxx");
    field[1] = '\0';
    CHECK(bounded_text(field).view() == "x");
    CHECK(BoundedText<4>("").empty());
    CHECK(BoundedText<4>("longer").view() == "lon");
    CHECK(BoundedText<4>().view().empty());
    CHECK(std::is_trivially_copyable_v<BoundedText<4>>);
}
