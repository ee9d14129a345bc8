// SPDX-License-Identifier: Apache-2.0
//
// What decode() makes of records: each number within its bounds, each text with an end.
#include <loopwatch/loop_state.h>
#include <lw_event.h>
#include <sys/syscall.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "collect/event.hpp"
#include "collect/wire.hpp"

using namespace loopwatch;

namespace {

// A record whose every byte is the same, and what is behind it.
template <class Raw>
Raw filled(char with, std::uint32_t kind)
{
    Raw raw;
    std::memset(&raw, with, sizeof raw);
    raw.event.kind = kind;
    if constexpr (requires { raw.stack; }) raw.stack.bytes = 0;
    return raw;
}

template <class Raw>
std::vector<Event> decoded(Raw raw, std::size_t behind = 0)
{
    raw.event.size = static_cast<std::uint32_t>(sizeof raw + behind);
    std::vector<std::uint8_t> bytes(raw.event.size, 7);
    std::memcpy(bytes.data(), &raw, sizeof raw);
    std::vector<Event> events;
    decode(bytes, [&](const Event& event) { events.push_back(event); });
    return events;
}

template <class Own, class Raw>
Own only(const Raw& raw, std::size_t behind = 0)
{
    const auto events = decoded(raw, behind);
    REQUIRE(events.size() == 1);
    REQUIRE(std::holds_alternative<Own>(events[0]));
    return std::get<Own>(events[0]);
}

std::string text(std::size_t length)
{
    return std::string(length, 'x');
}

}  // namespace

TEST_CASE("texts of a record end where their fields do, whatever is in them")
{
    const auto dispatch = only<DispatchEvent>(filled<lw_dispatch>('x', LW_EVENT_DISPATCH));
    CHECK(dispatch.task.name.view() == text(LW_NAME_BYTES - 1));
    CHECK(dispatch.task.labels.view() == text(LW_LABEL_BYTES - 1));
    for (const auto& preemptor : dispatch.contention.preemptors) CHECK(preemptor.comm.view() == text(15));
    const auto source = only<SourceEvent>(filled<lw_source>('x', LW_EVENT_SOURCE));
    CHECK(source.waker.comm.view() == text(15));
    CHECK(source.task.name.view() == text(LW_NAME_BYTES - 1));
    const auto call = only<CallEvent>(filled<lw_call>('x', LW_EVENT_CALL));
    CHECK(call.call.view() == text(31));
    CHECK(call.text.view() == text(103));
    CHECK(call.target.view() == text(103));
}

TEST_CASE("lists of a record have what they have room for, however many they claim")
{
    const auto dispatch = only<DispatchEvent>(filled<lw_dispatch>('x', LW_EVENT_DISPATCH));
    CHECK(dispatch.contention.preemptors.size() == LW_PREEMPTORS);
    CHECK(dispatch.waits.size() == LW_UNSURE);
    CHECK(dispatch.task.frames.size() == LW_CHAIN);
    CHECK(dispatch.task.state == TaskState::unknown);
    const auto source = only<SourceEvent>(filled<lw_source>('x', LW_EVENT_SOURCE));
    CHECK(source.kernel_stack.size() == LW_KERNEL_DEPTH);
    CHECK(source.waker.kernel_stack.size() == LW_WAKER_DEPTH);
    CHECK(source.file.path.view().size() == LW_PATH_PARTS * (1 + LW_PATH_PART_BYTES));
}

TEST_CASE("of a list that is shorter than its room the rest is not there")
{
    auto raw = filled<lw_dispatch>(0, LW_EVENT_DISPATCH);
    raw.contention.used = 1;
    raw.contention.preemptors[0].had_ns = 5;
    raw.parks[1].since_ns = 7;
    raw.task.chain_length = 2;
    raw.task.chain_created[1] = 0x1000;
    const auto dispatch = only<DispatchEvent>(raw);
    REQUIRE(dispatch.contention.preemptors.size() == 1);
    CHECK(dispatch.contention.preemptors[0].had_ns == 5);
    REQUIRE(dispatch.waits.size() == 1);
    CHECK(dispatch.waits[0].since_ns == 7);
    REQUIRE(dispatch.task.frames.size() == 2);
    CHECK(dispatch.task.frames[1].created_at == 0x1000);
}

TEST_CASE("a file has its path by parts, the innermost first, or as the call was given it")
{
    auto raw = filled<lw_source>(0, LW_EVENT_SOURCE);
    raw.file.parts = 2;
    std::strcpy(raw.file.path[0], "name");
    std::strcpy(raw.file.path[1], "folder");
    auto file = only<SourceEvent>(raw).file;
    CHECK_FALSE(file.given);
    CHECK(file.path.view() == "/folder/name");
    raw.file.parts = LW_PATH_GIVEN;
    file = only<SourceEvent>(raw).file;
    CHECK(file.given);
    CHECK(file.path.view() == "name");
}

TEST_CASE("what ends before it begins takes no time")
{
    const auto length_ns = [](auto own, auto raw) {
        raw.start_ns = 2'000;
        raw.end_ns = 1'000;
        own = only<decltype(own)>(raw);
        return own.end_ns - own.start_ns;
    };
    CHECK(length_ns(DispatchEvent(), filled<lw_dispatch>(0, LW_EVENT_DISPATCH)) == 0);
    CHECK(length_ns(IterationEvent(), filled<lw_iteration>(0, LW_EVENT_ITERATION)) == 0);
}

TEST_CASE("a stack is as long as it says, and a record that lacks a part of it is none")
{
    auto raw = filled<lw_sample>(0, LW_EVENT_SAMPLE);
    raw.stack.bytes = 24;
    raw.stack.base = 0x7000;
    raw.stack.registers.dwarf[LW_REG_RSP] = 0x6ff0;
    raw.stack.registers.dwarf[LW_REG_RIP] = 0x1000;
    const auto sample = only<SampleEvent>(raw, 32);
    CHECK(sample.stack.bytes == std::vector<std::uint8_t>(24, 7));
    CHECK(sample.stack.base == 0x7000);
    CHECK(sample.stack.registers.sp() == 0x6ff0);
    CHECK(sample.stack.registers.pc() == 0x1000);
    CHECK(decoded(raw, 16).empty());
    raw.stack.bytes = ~0u;
    CHECK(decoded(raw, 16).empty());
}

TEST_CASE("what a record does not bring of its step is not that of the step before")
{
    struct Steps {
        lw_event event;
        lw_step first;
        unsigned char second[offsetof(lw_step, text)];
    } raw = {};
    raw.event.kind = LW_EVENT_STEPS;
    std::memset(&raw.first, 'x', sizeof raw.first);
    raw.first.size = sizeof raw.first;
    lw_step bare = {};
    bare.time_ns = 9;
    bare.size = sizeof raw.second;
    std::memcpy(raw.second, &bare, sizeof raw.second);
    const auto steps = decoded(raw);
    REQUIRE(steps.size() == 2);
    const auto& whole = std::get<StepEvent>(steps[0]);
    CHECK(whole.text.view() == text(LW_NAME_BYTES - 1));
    REQUIRE(whole.misuse);
    CHECK(whole.misuse->calls.size() == LW_CALLS);
    CHECK(whole.misuse->function.view() == text(79));
    const auto& short_one = std::get<StepEvent>(steps[1]);
    CHECK(short_one.head.time_ns == 9);
    CHECK(short_one.text.empty());
    CHECK_FALSE(short_one.misuse);
}

TEST_CASE("a wait has the descriptors that its call polls, as far as they were read")
{
    auto raw = filled<lw_wait>(0, LW_EVENT_WAIT);
    raw.args_are = LW_WAIT_ARGS_CALL;
    raw.syscall = SYS_poll;
    raw.polled[0] = 5;
    raw.polled[8] = raw.polled[9] = raw.polled[10] = raw.polled[11] = 0xff;  // -1
    raw.polled[16] = 6;
    raw.polled_bytes = 24;
    CHECK(only<WaitEvent>(raw).polled == std::vector<std::uint64_t>{5, 6});
    raw.polled_bytes = ~0u;
    CHECK(only<WaitEvent>(raw).polled.size() == LW_POLLED_BYTES / 8 - 1);
    raw.polled_bytes = 1;
    raw.syscall = SYS_select;
    CHECK(only<WaitEvent>(raw).polled == std::vector<std::uint64_t>{0, 2});
}

TEST_CASE("the arguments of a wait are the call's, or the shim's place, as its writer says")
{
    auto raw = filled<lw_wait>(0, LW_EVENT_WAIT);
    raw.syscall = SYS_epoll_wait;
    for (std::uint64_t i = 0; i < 6; ++i) raw.args[i] = 0x1000 + i;
    CHECK(decoded(raw).empty());
    raw.args_are = LW_WAIT_ARGS_CALL;
    CHECK(only<WaitEvent>(raw).args == std::array<std::uint64_t, 6>{0x1000, 0x1001, 0x1002, 0x1003, 0x1004, 0x1005});
    raw.args_are = LW_WAIT_ARGS_PLACE;
    const auto wait = only<ShimWaitEvent>(raw);
    CHECK(wait.syscall == SYS_epoll_wait);
    CHECK(wait.ip == 0x1000);
    CHECK(wait.frame == 0x1001);
    CHECK(wait.object == 0x1002);
    raw.args_are = LW_WAIT_ARGS_PLACE + 1;
    CHECK(decoded(raw).empty());
}

TEST_CASE("a loop that has stopped has its counters if its slot came with it, and is one")
{
    struct Stopped {
        lw_event event;
        std::uint64_t address;
        std::uint32_t abi, started;
        lw_loop_slot slot;
    };
    static_assert(offsetof(Stopped, slot) == sizeof(lw_loop_started));
    auto raw = filled<Stopped>(0, LW_EVENT_LOOP_STOP);
    CHECK_FALSE(only<LoopStoppedEvent>(raw).state);
    raw.slot.magic = LW_SLOT_MAGIC;
    raw.slot.abi = LW_ABI;
    raw.slot.size = sizeof raw.slot;
    raw.slot.iterations = 12;
    const auto stopped = only<LoopStoppedEvent>(raw);
    REQUIRE(stopped.state);
    CHECK(stopped.state->iterations == 12);
}

TEST_CASE("a loop that starts has the address of its slot")
{
    auto raw = filled<lw_loop_started>(0, LW_EVENT_LOOP_START);
    raw.slot = 0x5000;
    raw.event.tid = 7;
    const auto started = only<LoopStartedEvent>(raw);
    CHECK(started.slot == 0x5000);
    CHECK(started.head.tid == 7);
}

TEST_CASE("a waker and an exception have the stacks behind them")
{
    auto waker = filled<lw_waker_stack>(0, LW_EVENT_WAKER);
    waker.waker_tid = 9;
    waker.stack.bytes = 8;
    const auto own = only<WakerEvent>(waker, 8);
    CHECK(own.waker_tid == 9);
    CHECK(own.stack.bytes.size() == 8);
    auto thrown = filled<lw_thrown>(0, LW_EVENT_THROWN);
    thrown.stack.bytes = 16;
    CHECK(only<ThrownEvent>(thrown, 16).stack.bytes.size() == 16);
    CHECK(decoded(thrown, 8).empty());
}

TEST_CASE("records that are a head alone are of their kind")
{
    struct Head {
        lw_event event;
    };
    CHECK(only<WakeEvent>(filled<Head>(0, LW_EVENT_WAKE)).head.seq == 0);
    CHECK(only<ChildEvent>(filled<Head>(0, LW_EVENT_CHILD)).head.pid == 0);
    CHECK(only<ExecEvent>(filled<Head>(0, LW_EVENT_EXEC)).head.pid == 0);
    CHECK(only<ExitEvent>(filled<Head>(0, LW_EVENT_EXIT)).head.pid == 0);
    CHECK(only<EndedEvent>(filled<lw_ended>(0x0b, LW_EVENT_ENDED)).status == 0x0b0b0b0b);
    // Too short for what they say they are, or of a kind that does not exist.
    for (const auto kind :
         {LW_EVENT_LOOP_START, LW_EVENT_LOOP_STOP, LW_EVENT_DISPATCH, LW_EVENT_ITERATION, LW_EVENT_SOURCE,
          LW_EVENT_SAMPLE, LW_EVENT_CALL, LW_EVENT_WAKER, LW_EVENT_WAIT, LW_EVENT_THROWN, LW_EVENT_ENDED})
        CHECK(decoded(filled<Head>(0, kind)).empty());
    CHECK(decoded(filled<Head>(0, 4711)).empty());
}

TEST_CASE("a record whose size is not that of its bytes is none")
{
    std::vector<std::uint8_t> bytes(sizeof(lw_event), 0);
    const auto events = [&] { return decode(bytes, [](const Event&) {}); };
    lw_event event = {LW_EVENT_WAKE, sizeof event, 0, 0, 0, 0, 0};
    std::memcpy(bytes.data(), &event, sizeof event);
    CHECK(events() == 1);
    event.size = sizeof event + 8;
    std::memcpy(bytes.data(), &event, sizeof event);
    CHECK(events() == 0);
    bytes.resize(4);
    CHECK(events() == 0);
}

TEST_CASE("a dispatch that goes on has the fields of its loop's entry, and a state that does not exist is none")
{
    lw_loop raw = {};
    raw.seq = 41;
    raw.off = LW_OFF_IDLE;
    raw.blocked_ns = 5;
    raw.runq_ns = 6;
    raw.blocks = 7;
    auto ongoing = ongoing_dispatch(raw);
    CHECK(ongoing.seq == 41);
    CHECK(static_cast<int>(ongoing.off) == LW_OFF_IDLE);
    CHECK(ongoing.blocked_ns == 5);
    CHECK(ongoing.runq_ns == 6);
    CHECK(ongoing.blocks == 7);
    raw.off = LW_OFF_IDLE + 1;
    CHECK(ongoing_dispatch(raw).off == OffCpu::running);
}

TEST_CASE("a thread that sleeps has its call with the arguments")
{
    lw_sleeper raw = {};
    raw.tid = 7;
    raw.syscall = SYS_poll;
    raw.switches = 3;
    raw.args[5] = 9;
    raw.registers.dwarf[LW_REG_RSP] = 0x7000;
    const auto thread = sleeping_thread(raw);
    CHECK(thread.tid == 7);
    CHECK(thread.syscall == SYS_poll);
    CHECK(thread.args[5] == 9);
    CHECK(thread.registers.sp() == 0x7000);
}
