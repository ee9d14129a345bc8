// SPDX-License-Identifier: Apache-2.0
//
// What the book keeps of more samples than it has room for.
#include <catch2/catch.hpp>

#include "collect/dispatch_book.hpp"
#include "collect/thinning.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;
constexpr std::size_t stack_bytes = 4096;

SampleEvent sample_at(std::uint64_t time_ns, std::uint64_t stands_for_ns, std::uint64_t seq = 1)
{
    SampleEvent sample;
    sample.head.pid = sample.head.tid = 1;
    sample.head.seq = seq;
    sample.head.time_ns = time_ns;
    sample.stands_for_ns = stands_for_ns;
    sample.stack.bytes.resize(stack_bytes);
    return sample;
}

// As the watchdog does: as far apart as those that are kept.
void burn(DispatchBook& book, std::uint64_t from_ns, std::uint64_t until_ns)
{
    auto distance_ns = 2 * ms;
    for (auto now_ns = from_ns; now_ns < until_ns; now_ns += distance_ns) {
        book.add(sample_at(now_ns, distance_ns));
        distance_ns = std::max(distance_ns, book.sample_distance_of(1, 1));
    }
}

std::uint64_t weight_of(const std::vector<SampleEvent>& samples, std::uint64_t from_ns, std::uint64_t until_ns)
{
    std::uint64_t weight_ns = 0;
    for (const auto& sample : samples)
        if (sample.head.time_ns >= from_ns && sample.head.time_ns < until_ns) weight_ns += sample.stands_for_ns;
    return weight_ns;
}

bool is_part_of(std::uint64_t part, std::uint64_t whole, double least, double most)
{
    const auto share = static_cast<double>(part) / static_cast<double>(whole);
    return share >= least && share <= most;
}

}  // namespace

TEST_CASE("of two neighbours one stays and has the weight of both, in turn the earlier and the later")
{
    struct Item {
        int name, weight = 1;
        bool operator==(const Item&) const = default;
    };
    std::vector<Item> items = {{0}, {1}, {2}, {3}, {4}};
    thin(items, [](Item& kept, Item& gone) { kept.weight += gone.weight; });
    CHECK(items == std::vector<Item>{{0, 2}, {3, 2}, {4, 1}});
    std::vector<Item> none;
    thin(none, [](Item&, Item&) { FAIL("nothing to merge"); });
    CHECK(none.empty());
}

TEST_CASE("the samples of a callback stand for all of the time that it burned")
{
    const auto lasted_ns = GENERATE(100 * ms, 1'700 * ms, 60'000 * ms);
    DispatchBook book;
    burn(book, 0, lasted_ns);
    DispatchEvent closing;
    closing.head = sample_at(lasted_ns, 0).head;
    const auto samples = book.close(closing).samples;
    CHECK(samples.size() <= DispatchBook::max_samples);
    CHECK(samples.size() >= 32);
    const auto whole_ns = weight_of(samples, 0, lasted_ns);
    CHECK(is_part_of(whole_ns, lasted_ns, 0.95, 1.05));
    // Each tenth for a tenth, as well as so few can.
    for (std::uint64_t tenth = 0; tenth < 10; ++tenth)
        CHECK(
            is_part_of(weight_of(samples, tenth * lasted_ns / 10, (tenth + 1) * lasted_ns / 10), whole_ns, 0.05, 0.16));
    CHECK(book.bytes() == 0);
    CHECK(book.overflow() == 0);
}

TEST_CASE("those of an iteration of many callbacks do, too")
{
    DispatchBook book;
    std::uint64_t seq = 1;
    auto distance_ns = 2 * ms;
    for (std::uint64_t now_ns = 0; now_ns < 2'000 * ms; now_ns += distance_ns, ++seq) {
        book.add(sample_at(now_ns, distance_ns, seq));
        SourceEvent place;
        place.head = sample_at(now_ns, 0, seq).head;
        place.block_start_ns = now_ns;
        place.total_ns = 7;
        place.head.loop_id = now_ns < 500 * ms ? 1 : 2;  // which place
        place.stack.bytes.resize(stack_bytes);
        book.found_blocked(1, place);
        distance_ns = std::max(distance_ns, book.sample_distance_since(1, 0));
    }
    IterationEvent iteration;
    iteration.head = sample_at(2'000 * ms, 0, seq).head;
    iteration.end_ns = 2'000 * ms;
    iteration.blocked_ns = 1'000 * ms;
    const auto bundle = book.close(iteration);
    CHECK(bundle.samples.size() <= DispatchBook::max_samples);
    CHECK(is_part_of(weight_of(bundle.samples, 0, 500 * ms), weight_of(bundle.samples, 0, 2'000 * ms), 0.2, 0.3));
    CHECK(bundle.places.size() <= DispatchBook::max_samples);
    std::uint64_t blocked_ns = 0;
    for (const auto& place : bundle.places) blocked_ns += place.total_ns;
    CHECK(is_part_of(blocked_ns, 1'000 * ms, 0.999, 1));
    CHECK(book.bytes() == 0);
}

TEST_CASE("what was sampled before an iteration sets no distance for it")
{
    DispatchBook book;
    book.add(sample_at(10 * ms, 64 * ms, 1));
    book.add(sample_at(1'000 * ms, 2 * ms, 2));
    CHECK(book.sample_distance_since(1, 0) == 64 * ms);
    CHECK(book.sample_distance_since(1, 1'000 * ms) == 2 * ms);
    CHECK(book.sample_distance_of(1, 2) == 2 * ms);
    CHECK(book.sample_distance_of(1, 3) == 0);
}
