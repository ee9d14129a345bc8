// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/explain.hpp"
#include "analysis/shared_path.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t millisecond = 1'000'000;

Frame own(std::string function, std::uint64_t offset = 0)
{
    Frame frame;
    frame.function = std::move(function);
    frame.module = "/srv/order_server";
    frame.build_id = "ab12";
    frame.offset = offset;
    return frame;
}

// `inner` on top of the callback "import", and of what runs it.
std::vector<Frame> below_import(std::vector<Frame> inner)
{
    for (const auto* outer : {"shop::import(Order)", "loopwatch::Loop::dispatch()", "main"})
        inner.push_back(own(outer));
    return inner;
}

std::vector<std::string> names(const std::vector<SampleFacts>& samples)
{
    std::vector<std::string> functions;
    for (const auto& frame : shared_path(samples)) functions.push_back(frame.function);
    return functions;
}

SlowCallback burned(std::vector<SampleFacts> samples)
{
    DispatchFacts facts;
    facts.start_ns = 1;
    facts.end_ns = facts.start_ns + 300 * millisecond;
    facts.slow = true;
    facts.samples = std::move(samples);
    return explain(facts).slow.value();
}

}  // namespace

TEST_CASE("a callback that burns CPU has one fingerprint, whatever its samples hit")
{
    std::minstd_rand random(7);
    std::set<std::string> fingerprints, exact;
    for (int stall = 0; stall < 40; ++stall) {
        std::vector<SampleFacts> samples;
        for (int i = 0; i < 30; ++i) {
            const auto leaf = "shop::leaf_" + std::to_string(random() % 5) + "(int)";
            samples.push_back(
                {below_import({own(leaf, random()), own("shop::parse(int)", random())}), 0, 1 + random() % 3});
        }
        const auto slow = burned(std::move(samples));
        fingerprints.insert(slow.fingerprint);
        exact.insert(slow.fingerprint_exact);
    }
    CHECK(fingerprints.size() == 1);
    CHECK(exact.size() == 1);
}

TEST_CASE("two functions that burn in one callback are two causes")
{
    const auto burns = [](const std::string& function) {
        std::vector<SampleFacts> samples;
        for (int i = 0; i < 10; ++i) samples.push_back({below_import({own(function)})});
        return burned(std::move(samples)).fingerprint;
    };
    CHECK(burns("shop::parse(int)") != burns("shop::sort(int)"));
}

TEST_CASE("two thirds of the time decide how far the samples of a callback go together")
{
    const auto path = [](std::uint64_t in_parse, std::uint64_t elsewhere) {
        return names({{below_import({own("shop::parse(int)")}), 0, in_parse},
                      {below_import({own("shop::sort(int)")}), 0, elsewhere}});
    };
    CHECK(path(20, 10) == std::vector<std::string>{"shop::parse(int)", "shop::import(Order)"});
    CHECK(path(19, 11) == std::vector<std::string>{"shop::import(Order)"});
    CHECK(names({}).empty());
    CHECK(names({{{}, 0, 5}}).empty());
    CHECK(names({{{own("loopwatch::Loop::dispatch()"), own("main")}, 0, 5}}).empty());
}

TEST_CASE("how deep a recursion was is chance")
{
    std::vector<SampleFacts> samples;
    for (int depth = 1; depth < 6; ++depth) {
        std::vector<Frame> inner;
        for (int i = 0; i < depth; ++i) {
            inner.push_back(own("shop::value(int)"));
            inner.push_back(own("shop::object(int)"));
        }
        samples.push_back({below_import(std::move(inner))});
    }
    CHECK(names(samples) == std::vector<std::string>{"shop::value(int)", "shop::object(int)", "shop::import(Order)"});
}

TEST_CASE("a lambda is the function that it is written in, if that called it")
{
    const auto lambda = own("parse(std::string)::operator()(int, int) const");
    const auto called = names({{below_import({lambda, own("shop::parse(std::string)")})}});
    CHECK(called == std::vector<std::string>{"shop::parse(std::string)", "shop::import(Order)"});
    CHECK(names({{below_import({lambda})}}).size() == 2);
    CHECK(names({{below_import({lambda, own("shop::sparse(int)")})}}).size() == 3);
}
