// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstring>
#include <span>

#include "collect/event.hpp"

using namespace loopwatch;

TEST_CASE("texts of a record end where their fields do, whatever is in them")
{
    lw_dispatch dispatch;
    std::memset(&dispatch, 'x', sizeof dispatch);
    dispatch.event.kind = LW_EVENT_DISPATCH;
    dispatch.event.size = sizeof dispatch;
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&dispatch);
    std::size_t seen = 0;
    const auto handled = decode({bytes, sizeof dispatch}, [&](const Event& event) {
        const auto& typed = std::get<lw_dispatch>(event);
        seen += std::memchr(typed.task.name, 0, sizeof typed.task.name) != nullptr;
        seen += std::memchr(typed.task.labels, 0, sizeof typed.task.labels) != nullptr;
        for (const auto& preemptor : typed.contention.preemptors)
            seen += std::memchr(preemptor.comm, 0, sizeof preemptor.comm) != nullptr;
    });
    CHECK(handled == 1);
    CHECK(seen == 2 + LW_PREEMPTORS);
}

TEST_CASE("what ends before it begins takes no time")
{
    lw_dispatch dispatch = {};
    dispatch.event.kind = LW_EVENT_DISPATCH;
    lw_iteration iteration = {};
    iteration.event.kind = LW_EVENT_ITERATION;
    const auto length_ns = [](auto record) {
        record.event.size = sizeof record;
        record.start_ns = 2'000;
        record.end_ns = 1'000;
        std::uint64_t length_ns = 1;
        decode({reinterpret_cast<const std::uint8_t*>(&record), sizeof record}, [&](const Event& event) {
            const auto& typed = std::get<decltype(record)>(event);
            length_ns = typed.end_ns - typed.start_ns;
        });
        return length_ns;
    };
    CHECK(length_ns(dispatch) == 0);
    CHECK(length_ns(iteration) == 0);
}
