// SPDX-License-Identifier: Apache-2.0
//
// A ring as a hostile process could make it and go on to write it. The file is 33 MiB, so the input is a script:
//   byte 0     from 192 on the file's first bytes are those that follow; else it begins as an honest shim makes it
//   then ops   {what, lane, position (2), value (8)}, see play(); where bit 7 of `what` is set, the reader looks first
// An input of honest appends alone must be read as it was written.
#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "collect/shim_ring.hpp"
#include "ring_file.hpp"
#include "visit_event.hpp"

using namespace loopwatch;

namespace {

constexpr std::size_t most = 64;      // records that a drain hands over
constexpr std::size_t most_ops = 96;  // each look at the ring takes 20 system calls
constexpr std::size_t lanes = 4;      // of 32, which are all read in the same way
constexpr std::uint64_t align = LW_RECORD_ALIGN;
constexpr std::size_t head_bytes = 24;  // magic, abi, bytes, pid, lanes_refused

struct Op {
    std::uint8_t what, lane;
    std::uint16_t at;
    std::uint64_t value;
};

class Fuzzed {
public:
    explicit Fuzzed(ShimRing ring, RingFile& file) : ring_(std::move(ring)), file_(file) {}

    void play(const Op& op);
    void look(std::uint64_t seq);
    bool honest = true;
    std::size_t appended = 0, told = 0;  // calls

private:
    void append_call(std::size_t lane, std::uint64_t seq);
    void cut(std::uint64_t bytes);
    bool drain();
    void check_tail(std::size_t lane, std::uint64_t head, std::uint64_t tail, bool all);

    ShimRing ring_;
    RingFile& file_;
    std::array<std::uint64_t, lanes> tails_ = {};  // as the reader has them
    std::uint64_t wrong_ = 0;                      // lanes whose head cannot be true, as often as they were drained
    bool has_lanes_ = true;                        // false: the reader goes by what it saw last
};

// It has no room for more than a lane, nor goes over its end.
void Fuzzed::append_call(std::size_t lane, std::uint64_t seq)
{
    const auto head = file_.word(lane_at(lane, offsetof(lw_lane, head)));
    if (head % LW_LANE_BYTES + sizeof(lw_call) > LW_LANE_BYTES) return;
    lw_call call = {};
    call.event = {LW_EVENT_CALL, sizeof call, 100, 1, 1, 1, seq};
    file_.append(lane, call);
    ++appended;
}

void Fuzzed::cut(std::uint64_t bytes)
{
    has_lanes_ = has_lanes_ && bytes >= offsetof(lw_ring, bodies);
    file_.cut(bytes);
}

// What the reader looks at in a lane.
constexpr std::uint64_t lane_words[] = {offsetof(lw_lane, tid),  offsetof(lw_lane, slot),     offsetof(lw_lane, head),
                                        offsetof(lw_lane, lost), offsetof(lw_lane, calls),    offsetof(lw_lane, draft),
                                        offsetof(lw_lane, tail), offsetof(lw_lane, candidate)};

void Fuzzed::play(const Op& op)
{
    const auto lane = op.lane % lanes;
    const auto records = body_at(lane, offsetof(lw_lane_body, records));
    const auto head_at = lane_at(lane, offsetof(lw_lane, head));
    const auto word_at = lane_at(lane, lane_words[op.at % std::size(lane_words)]);
    const auto aligned = std::uint64_t{op.at} * align;
    honest = honest && op.what % 10 == 0;
    switch (op.what % 10) {
        case 0: append_call(lane, op.value); break;
        case 1: file_.put(word_at, op.value); break;
        case 2: file_.put(word_at, file_.word(word_at) + op.value % 4096 - 2048); break;
        case 3: file_.put(records + aligned % LW_LANE_BYTES, op.value); break;
        case 4: {  // a record of any kind and size, and the head anywhere behind it
            const auto head = file_.word(head_at), within = head % LW_LANE_BYTES;
            const lw_event event{op.lane / 4u % 20, static_cast<std::uint32_t>(op.value), 1, 1, 1, 1, 1};
            if (within + sizeof event <= LW_LANE_BYTES) file_.put(records + within, event);
            file_.put(head_at, head + (op.value >> 32) % (2 * LW_LANE_BYTES));
            break;
        }
        case 5: file_.put(body_at(lane, offsetof(lw_lane_body, own)) + aligned % sizeof(lw_loop_slot), op.value); break;
        case 6: file_.put(body_at(lane, offsetof(lw_lane_body, ongoing)) + aligned % 64, op.value); break;
        case 7: file_.put(head_at, LW_LANE_BYTES - op.value % 512); break;  // close to where a lane ends
        case 8: cut(op.value % (2 * sizeof(lw_ring))); break;
        default: ring_.let_idle(lane, op.value, 0); break;
    }
}

void Fuzzed::check_tail(std::size_t lane, std::uint64_t head, std::uint64_t tail, bool all)
{
    const auto own = tails_[lane];
    hold(tail % align == 0, "an aligned tail");
    if (head - own <= LW_LANE_BYTES)
        hold(tail - own <= head - own, "no tail beyond its head");
    else
        hold(tail == head - head % align, "a lane with a head that cannot be true is left out");
    if (all) hold(tail == head - head % align, "all is read that can be");
    tails_[lane] = tail;
}

bool Fuzzed::drain()
{
    // The file's tail is the process's to write as well: here it is what the reader writes, or this.
    constexpr std::uint64_t unwritten = ~0ull;
    std::array<std::uint64_t, lanes> heads, before;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
        heads[lane] = file_.word(lane_at(lane, offsetof(lw_lane, head)));
        before[lane] = file_.word(lane_at(lane, offsetof(lw_lane, tail)));
        file_.put(lane_at(lane, offsetof(lw_lane, tail)), unwritten);
    }
    std::size_t events = 0;
    const bool all = ring_.drain(most, [&](const Event& event) {
        ++events;
        visit_event(event);
    });
    told += events;
    // A record of steps holds as many as have room in it.
    hold(events <= most * ((sizeof(lw_call) + LW_STACK_BYTES) / offsetof(lw_step, text)), "bounded events a drain");
    for (std::size_t lane = 0; lane < lanes && has_lanes_; ++lane) {
        const auto tail_at = lane_at(lane, offsetof(lw_lane, tail));
        const auto tail = file_.word(tail_at);
        const bool can_not_be = heads[lane] - tails_[lane] > LW_LANE_BYTES || heads[lane] % align != 0;
        if (tail == unwritten) {
            hold(!all || heads[lane] == tails_[lane], "a lane that has something is read");
            file_.put(tail_at, before[lane]);
            continue;
        }
        wrong_ += can_not_be ? 1 : 0;
        check_tail(lane, heads[lane], tail, all);
    }
    hold(ring_.counts().corrupt >= wrong_, "what is wrong is counted");
    return all;
}

// What a session does in a round, until there is nothing more.
void Fuzzed::look(std::uint64_t seq)
{
    for (const auto& lane : ring_.look()) hold(lane.tid != 0 && lane.index < LW_LANES, "lanes that somebody has");
    std::size_t rounds = 0;
    while (!drain()) hold(++rounds <= lanes * (LW_LANE_BYTES / sizeof(lw_event) / most + 1), "an end");
    for (std::size_t lane = 0; lane <= lanes; ++lane) {
        std::size_t events = 0;
        ring_.read_draft(lane, [&](const Event& event) {
            ++events;
            visit_event(event);
        });
        hold(events <= most * ((sizeof(lw_call) + LW_STACK_BYTES) / offsetof(lw_step, text)), "bounded drafts");
        if (const auto call = ring_.ongoing(lane, seq)) visit_text(call->call);
        if (const auto slot = ring_.read_own_slot(lane)) visit_slot(*slot);
    }
    (void)ring_.bypassed();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    std::span input(data + 1, size - 1);
    RingFile file;
    if (data[0] >= 192) {
        const auto head = input.first(std::min(input.size(), head_bytes));
        file.write(0, head);
        input = input.subspan(head.size());
    }
    auto ring = file.opened();
    hold(ring.has_value() || data[0] >= 192, "an honest ring can be opened");
    if (!ring) return 0;
    Fuzzed fuzzed(std::move(*ring), file);
    constexpr std::size_t op_bytes = 12;
    for (std::size_t ops = 0; input.size() >= op_bytes && ops < most_ops; ++ops, input = input.subspan(op_bytes)) {
        Op op = {input[0], input[1], 0, 0};
        std::memcpy(&op.at, &input[2], sizeof op.at);
        std::memcpy(&op.value, &input[4], sizeof op.value);
        if (op.what & 0x80) fuzzed.look(op.value);
        op.what &= 0x7f;
        fuzzed.play(op);
    }
    fuzzed.look(1);
    if (fuzzed.honest) hold(fuzzed.told == fuzzed.appended, "each honest record once");
    return 0;
}
