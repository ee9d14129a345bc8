// SPDX-License-Identifier: Apache-2.0
//
// The reader of a shim's ring: what an honest shim wrote is read once and in order; what cannot be true is counted and
// left out. Hostile rings at random: tests/fuzz/fuzz_shim_ring.cpp.
#include <lw_event.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstring>
#include <vector>

#include "../fuzz/ring_file.hpp"

using namespace loopwatch;

namespace {

constexpr std::size_t lane = 3;

lw_call call(std::uint64_t seq)
{
    lw_call call = {};
    call.event = {LW_EVENT_CALL, sizeof call, 100, 1, 1, 1, seq};
    return call;
}

// A ring and its reader, as `loopwatch run` has it.
struct Rings {
    Rings()
    {
        put(offsetof(lw_lane, tid), std::uint32_t{77});
        auto opened = file.opened();
        REQUIRE(opened);
        ring.emplace(std::move(*opened));
    }
    // A field of the lane.
    template <class T>
    void put(std::size_t field, T value)
    {
        file.put(lane_at(lane, field), value);
    }
    // The sequence numbers of the calls that are read.
    std::vector<std::uint64_t> drain(std::size_t most = 1000)
    {
        std::vector<std::uint64_t> seqs;
        ring->look();
        all = ring->drain(most, [&](const Event& event) { seqs.push_back(std::get<CallEvent>(event).head.seq); });
        return seqs;
    }
    std::uint64_t tail() const { return file.word(lane_at(lane, offsetof(lw_lane, tail))); }

    RingFile file;
    std::optional<ShimRing> ring;
    bool all = false;
};

using Seqs = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("a file that is no ring, or one of another version, is refused with the reason")
{
    RingFile file;
    SECTION("magic")
    {
        file.put(offsetof(lw_ring, magic), std::uint64_t{1});
        CHECK_THAT(file.opened().error().what, Catch::EndsWith("is no ring"));
    }
    SECTION("too short for its head")
    {
        file.cut(8);
        CHECK_THAT(file.opened().error().what, Catch::EndsWith("is no ring"));
    }
    SECTION("version")
    {
        file.put(offsetof(lw_ring, abi), std::uint32_t{LW_RING_ABI + 1});
        CHECK_THAT(file.opened().error().what, Catch::Contains("another version"));
    }
    SECTION("size")
    {
        file.put(offsetof(lw_ring, bytes), std::uint32_t{64});
        CHECK_THAT(file.opened().error().what, Catch::Contains("another version"));
    }
    CHECK_FALSE(ShimRing::open("/nowhere/ring"));
    CHECK_THAT(ShimRing::open("/dev/null").error().what, Catch::EndsWith("is no ring"));
}

TEST_CASE("lanes that a thread has are listed with what it says of its loop")
{
    Rings rings;
    rings.put(offsetof(lw_lane, registrations), std::uint32_t{2});
    rings.put(offsetof(lw_lane, slot), std::uint64_t{0x5000});
    rings.put(offsetof(lw_lane, candidate), std::uint32_t{1});
    rings.put(offsetof(lw_lane, held), std::uint32_t{4});
    const auto lanes = rings.ring->look();
    REQUIRE(lanes.size() == 1);
    CHECK(lanes[0].index == lane);
    CHECK(lanes[0].tid == 77);
    CHECK(lanes[0].registrations == 2);
    CHECK(lanes[0].slot == 0x5000);
    CHECK(lanes[0].candidate);
    CHECK(lanes[0].held == 4);
    CHECK(rings.ring->pid() == 1);
}

TEST_CASE("each record is read once and in order, as many at a time as are asked for")
{
    Rings rings;
    for (std::uint64_t seq = 1; seq <= 5; ++seq) rings.file.append(lane, call(seq));
    CHECK(rings.drain(2) == Seqs{1, 2});
    CHECK_FALSE(rings.all);
    CHECK(rings.tail() == 2 * sizeof(lw_call));
    CHECK(rings.drain() == Seqs{3, 4, 5});
    CHECK(rings.all);
    CHECK(rings.drain().empty());
    rings.file.append(lane, call(6));
    CHECK(rings.drain() == Seqs{6});
    CHECK(rings.ring->counts().corrupt == 0);
}

TEST_CASE("a lane goes on at its beginning, whether a record fills the rest of it or the rest is too short for one")
{
    Rings rings;
    // `rest` bytes before the end of the lane.
    const auto go_to = [&](std::uint64_t rest) {
        const auto head = rings.file.word(lane_at(lane, offsetof(lw_lane, head)));
        const auto end = (head / LW_LANE_BYTES + 1) * LW_LANE_BYTES;
        lw_event filler = {0, static_cast<std::uint32_t>(end - rest - head), 0, 0, 0, 0, 0};
        rings.file.put(body_at(lane, offsetof(lw_lane_body, records)) + head % LW_LANE_BYTES, filler);
        rings.put(offsetof(lw_lane, head), end - rest);
        CHECK(rings.drain().empty());
    };
    const auto append_at_the_beginning = [&](std::uint64_t seq) {
        const auto head = rings.file.word(lane_at(lane, offsetof(lw_lane, head)));
        rings.put(offsetof(lw_lane, head), (head / LW_LANE_BYTES + 1) * LW_LANE_BYTES);
        rings.file.append(lane, call(seq));
    };
    go_to(8);
    append_at_the_beginning(1);
    CHECK(rings.drain() == Seqs{1});
    go_to(0);
    rings.file.append(lane, call(2));
    CHECK(rings.drain() == Seqs{2});
    CHECK(rings.ring->counts().corrupt == 0);
    // A rest that the writer left, with a head that ends within it.
    go_to(16);
    rings.put(offsetof(lw_lane, head), rings.file.word(lane_at(lane, offsetof(lw_lane, head))) + 8);
    CHECK(rings.drain().empty());
    CHECK(rings.ring->counts().corrupt == 1);
}

TEST_CASE("a lane that claims what cannot be is counted, and read again from where it claims to be")
{
    Rings rings;
    rings.file.append(lane, call(1));
    SECTION("more than a lane has room for")
    {
        rings.put(offsetof(lw_lane, head), std::uint64_t{LW_LANE_BYTES + 8});
    }
    SECTION("a position that is not aligned")
    {
        rings.put(offsetof(lw_lane, head), std::uint64_t{sizeof(lw_call) + 1});
    }
    SECTION("a record beyond the head")
    {
        rings.put(offsetof(lw_lane, head), std::uint64_t{sizeof(lw_call) - 8});
    }
    SECTION("a record that is smaller than its head")
    {
        auto record = call(1);
        record.event.size = 8;
        rings.file.put(body_at(lane, offsetof(lw_lane_body, records)), record);
    }
    SECTION("a record that is larger than any")
    {
        auto record = call(1);
        record.event.size = sizeof record + LW_STACK_BYTES + 8;
        rings.file.put(body_at(lane, offsetof(lw_lane_body, records)), record);
        rings.put(offsetof(lw_lane, head), std::uint64_t{2 * record.event.size});
    }
    SECTION("a file that was cut short")
    {
        rings.ring->look();
        rings.file.cut(body_at(lane, 0));
        CHECK(rings.ring->drain(10, [](const Event&) { FAIL("there is none"); }));
        CHECK(rings.ring->counts().corrupt == 1);
        return;
    }
    CHECK(rings.drain().empty());
    CHECK(rings.all);
    CHECK(rings.ring->counts().corrupt == 1);
    rings.put(offsetof(lw_lane, head), rings.tail());
    rings.file.append(lane, call(2));
    CHECK(rings.drain() == Seqs{2});
}

TEST_CASE("a record that cannot be decoded is counted, and the next one is read")
{
    Rings rings;
    auto unknown = call(1);
    unknown.event.kind = 4711;
    rings.file.append(lane, unknown);
    rings.file.append(lane, call(2));
    CHECK(rings.drain() == Seqs{2});
    CHECK(rings.ring->counts().corrupt == 1);
}

TEST_CASE("a draft lies behind the records, and is there only for who asks for it")
{
    Rings rings;
    rings.file.append(lane, call(1));
    const auto head = rings.file.word(lane_at(lane, offsetof(lw_lane, head)));
    rings.file.append(lane, call(2));
    rings.put(offsetof(lw_lane, head), head);
    CHECK(rings.drain() == Seqs{1});
    Seqs drafts;
    const auto take = [&](const Event& event) { drafts.push_back(std::get<CallEvent>(event).head.seq); };
    rings.ring->read_draft(lane, take);
    CHECK(drafts == Seqs{2});
    rings.ring->read_draft(LW_LANES, take);
    CHECK(drafts == Seqs{2});
    rings.put(offsetof(lw_lane, draft), head - 8);
    rings.ring->look();
    rings.ring->read_draft(lane, take);
    CHECK(drafts == Seqs{2});
    CHECK(rings.ring->counts().corrupt == 1);
}

TEST_CASE("the call that goes on is that of the dispatch in question, or none")
{
    Rings rings;
    lw_ongoing ongoing = {};
    ongoing.seq = 41;
    ongoing.start_ns = 5;
    ongoing.caller = 0x1000;
    std::strcpy(ongoing.call, "fsync");
    rings.file.put(body_at(lane, offsetof(lw_lane_body, ongoing)), ongoing);
    const auto call = rings.ring->ongoing(lane, 41);
    REQUIRE(call);
    CHECK(call->start_ns == 5);
    CHECK(call->caller == 0x1000);
    CHECK(call->call.view() == "fsync");
    CHECK_FALSE(rings.ring->ongoing(lane, 43));
}

TEST_CASE("a loop without a slot of its own has the lane's")
{
    Rings rings;
    CHECK_FALSE(rings.ring->read_own_slot(lane));
    lw_loop_slot slot = {};
    slot.magic = LW_SLOT_MAGIC;
    slot.abi = LW_ABI;
    slot.size = sizeof slot;
    slot.seq = 9;
    rings.file.put(body_at(lane, offsetof(lw_lane_body, own)), slot);
    const auto state = rings.ring->read_own_slot(lane);
    REQUIRE(state);
    CHECK(state->seq == 9);
    rings.file.cut(body_at(lane, 0));
    CHECK_FALSE(rings.ring->read_own_slot(lane));
}

TEST_CASE("places where a loop idles are noted once each, and the first gives way when there is no room")
{
    Rings rings;
    const auto idle = [&](std::size_t i) { return rings.file.word(lane_at(lane, offsetof(lw_lane, idle) + i * 8)); };
    for (std::uint64_t ip = 1; ip <= LW_IDLE; ++ip) {
        rings.ring->let_idle(lane, ip, 0x7000);
        rings.ring->let_idle(lane, ip, 0x7000);
    }
    for (std::size_t i = 0; i < LW_IDLE; ++i) CHECK(idle(i) == lw_place_key(i + 1, 0x7000));
    rings.ring->let_idle(lane, 99, 0x7000);
    CHECK(idle(0) == lw_place_key(99, 0x7000));
    CHECK(idle(1) == lw_place_key(2, 0x7000));
}

TEST_CASE("what lanes say they lost is summed, unless it cannot be")
{
    Rings rings;
    rings.put(offsetof(lw_lane, lost), std::uint64_t{2});
    rings.put(offsetof(lw_lane, stacks_left_out), std::uint64_t{3});
    rings.put(offsetof(lw_lane, calls), std::uint64_t{5});
    rings.put(offsetof(lw_lane, registrations), std::uint32_t{7});
    rings.file.put(lane_at(lane + 1, offsetof(lw_lane, lost)), ~std::uint64_t{0});
    rings.file.put(offsetof(lw_ring, lanes_refused), std::uint32_t{11});
    rings.ring->look();
    auto counts = rings.ring->counts();
    CHECK(counts.lost == 2);
    CHECK(counts.stacks_left_out == 3);
    CHECK(counts.calls == 5);
    CHECK(counts.loops == 7);
    CHECK(counts.lanes_refused == 11);
    CHECK(counts.corrupt == 1);
    counts += counts;
    CHECK(counts.lost == 4);
    CHECK(counts.stacks_left_out == 6);
    CHECK(counts.calls == 10);
    CHECK(counts.loops == 14);
    CHECK(counts.lanes_refused == 22);
    CHECK(counts.corrupt == 2);
}

TEST_CASE("what a process says of its shim: calls that pass it by, a filter of its own")
{
    Rings rings;
    CHECK_FALSE(rings.ring->bypassed());
    CHECK_FALSE(rings.ring->sandboxed());
    rings.file.put(offsetof(lw_ring, canary), std::uint32_t{LW_CANARY_SEEN});
    CHECK_FALSE(rings.ring->bypassed());
    rings.file.put(offsetof(lw_ring, canary), std::uint32_t{LW_CANARY_UNSEEN});
    rings.file.put(offsetof(lw_ring, sandboxed), std::uint32_t{1});
    CHECK(rings.ring->bypassed());
    CHECK(rings.ring->sandboxed());
}
