// SPDX-License-Identifier: Apache-2.0
//
// Records as a fuzzer's input tells of them. Numbers are small and times close together, so that records meet: the same
// threads, dispatches, places and calls. A wild script also overwrites parts of each record with bytes of its own.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include <lw_state.h>

#include "collect/event.hpp"
#include "collect/wire.hpp"
#include "invariant.hpp"

class RecordScript {
public:
    static constexpr std::uint64_t ms = 1'000'000;
    // So late that a difference from 0 is no duration of this script.
    static constexpr std::uint64_t began_ns = 1ull << 50, longest_ns = 1ull << 40;
    static constexpr std::uint32_t threads = 3;
    static constexpr std::uint64_t object = 0x100;  // that its calls are most often of

    RecordScript(std::span<const std::uint8_t> input, bool wild) : input_(input), wild_(wild) {}

    bool ended() const { return input_.empty(); }
    std::uint8_t byte()
    {
        if (input_.empty()) return 0;
        const auto first = input_.front();
        input_ = input_.subspan(1);
        return first;
    }
    std::uint32_t tid() { return 1 + byte() % threads; }
    std::uint64_t time_ns() { return began_ns + byte() * ms; }
    std::uint64_t length_ns() { return byte() * ms; }

    lw_event head(std::uint32_t kind)
    {
        const auto which = byte();
        return {kind,
                0,
                time_ns(),
                static_cast<std::uint32_t>(::getpid()),
                1 + which % threads,
                1 + which / 32 % 2u,
                which / 4 % 8u};
    }
    std::vector<std::uint8_t> stack()
    {
        std::vector<std::uint8_t> bytes(byte() % 8u);
        for (auto& entry : bytes) entry = byte();
        return bytes;
    }
    void registers(lw_registers& registers)
    {
        const auto which = byte();
        registers.dwarf[LW_REG_RIP] = 0x1000 + which % 2u;
        registers.dwarf[LW_REG_RSP] = 0x7000 + which / 2 % 2u * 64;
    }
    std::int32_t syscall()
    {
        static constexpr std::int32_t calls[] = {-1,
                                                 SYS_read,
                                                 SYS_write,
                                                 SYS_poll,
                                                 SYS_nanosleep,
                                                 SYS_fsync,
                                                 SYS_epoll_wait,
                                                 SYS_epoll_pwait,
                                                 SYS_futex,
                                                 SYS_select,
                                                 SYS_wait4,
                                                 SYS_connect,
                                                 SYS_flock,
                                                 SYS_openat,
                                                 SYS_io_uring_enter,
                                                 SYS_fcntl,
                                                 SYS_restart_syscall,
                                                 450};
        return calls[byte() % std::size(calls)];
    }
    lw_task_view task()
    {
        lw_task_view view = {};
        const auto which = byte();
        view.id = which % 3u;
        if (view.id == 0) return view;
        view.state = which / 4 % 8u;
        view.chain_length = which / 32u;
        for (auto& created : view.chain_created) created = 0x1000 + byte();
        std::memset(view.name, which, sizeof view.name);
        if (which & 0x80) std::memcpy(view.labels, "a=b\n=\nc", 7);
        return view;
    }
    lw_source source();
    lw_dispatch dispatch();
    lw_iteration iteration();
    lw_call call();
    lw_step step();
    loopwatch::OngoingDispatch ongoing();
    // As bytes of the ring, exactly so long that a read beyond them is seen, through decode().
    template <class Record>
    void tell(Record record, const std::vector<std::uint8_t>& behind,
              const std::function<void(const loopwatch::Event&)>& handle);
    // Parts of it become anything.
    template <class Record>
    void overwrite(Record& record);

private:
    template <std::size_t size>
    void text(char (&to)[size], std::initializer_list<const char*> texts)
    {
        const std::string_view chosen = texts.begin()[byte() % texts.size()];
        std::memcpy(to, chosen.data(), std::min(chosen.size(), size));
    }
    std::uint32_t waker_pid()  // a process that is watched, or none at all
    {
        return static_cast<std::uint32_t>(::getpid()) + (byte() % 4u == 0 ? 1u << 23 : 0);
    }

    std::span<const std::uint8_t> input_;
    bool wild_;
};

inline lw_source RecordScript::source()
{
    lw_source source = {};
    source.event = head(LW_EVENT_SOURCE);
    const auto which = byte();
    source.index = which % 5u;
    source.single = which / 8 % 2u;
    source.count = which / 16u;
    source.total_ns = length_ns();
    source.longest_ns = length_ns();
    source.syscall = syscall();
    source.state = 1 + which % 2u;
    for (auto& argument : source.args) argument = which % 3u == 0 ? byte() : object;
    source.block_start_ns = time_ns();
    source.block_end_ns = time_ns();
    source.waker = {waker_pid(), tid(), {}, which / 64u, 0, length_ns(), {}};
    text(source.waker.comm, {"worker", "", "sixteen_letters_", "\x1b[31m"});
    if (which & 4) {
        source.file = {which * 256u, which / 16u, which, {}};
        text(source.file.path[0], {"name", "", "forty_letters_of_a_part_of_a_file's_name"});
    }
    source.kernel_depth = which % 3u;
    source.task = task();
    registers(source.stack.registers);
    return source;
}

inline lw_dispatch RecordScript::dispatch()
{
    lw_dispatch dispatch = {};
    dispatch.event = head(LW_EVENT_DISPATCH);
    dispatch.start_ns = time_ns();
    dispatch.end_ns = time_ns();
    const auto which = byte();
    dispatch.slow = which % 4u != 0;
    dispatch.blocked_ns = length_ns();
    if (which & 4) dispatch.runq_ns = length_ns();
    if (which & 8) dispatch.throttled_ns = length_ns();
    if (which & 16) dispatch.stopped_ns = length_ns();
    if (which & 32) dispatch.other_blocked_ns = length_ns();
    if (which & 64) dispatch.seen_ns = dispatch.entered_ns = time_ns();
    if (which & 128) dispatch.impact_tasks = dispatch.impact_total_ns = byte();
    const auto more = byte();
    auto& contention = dispatch.contention;
    if (more & 1) contention = {1, 0, length_ns(), {{1, 1, {}, length_ns()}}};
    if (more & 1) text(contention.preemptors[0].comm, {"preemptor", "sixteen_letters_", "\xff\xfe"});
    if (more & 2) dispatch.coroutine = {0x2000, 0x1000, 0x7000u + byte() * 8u, 0};
    if (more & 4)
        for (auto& park : dispatch.parks) {
            lw_registers place = {};
            registers(place);
            park = {time_ns(), time_ns(), place.dwarf[LW_REG_RIP], place.dwarf[LW_REG_RSP], object, SYS_epoll_wait, 0};
            if (byte() & 1) break;
        }
    dispatch.task = task();
    return dispatch;
}

inline lw_iteration RecordScript::iteration()
{
    lw_iteration iteration = {};
    iteration.event = head(LW_EVENT_ITERATION);
    iteration.start_ns = time_ns();
    iteration.end_ns = time_ns();
    iteration.dispatches = byte();
    iteration.blocked_ns = length_ns();
    iteration.runq_ns = length_ns();
    iteration.entered_ns = byte() % 4u == 0 ? time_ns() : 0;
    return iteration;
}

inline lw_call RecordScript::call()
{
    lw_call call = {};
    call.event = head(LW_EVENT_CALL);
    call.start_ns = time_ns();
    call.end_ns = time_ns();
    const auto which = byte();
    call.caller = which % 8u;
    call.arg = which;
    call.fd = which % 8 - 1;
    if (which & 64) call.more = which, call.more_ns = length_ns(), call.more_longest_ns = length_ns();
    text(call.call, {"nanosleep", "pthread_mutex_lock", "getaddrinfo", "fsync", "read", "syscall", "system",
                     "epoll_wait", "", "thirty_two_letters_of_a_function"});
    text(call.text, {"", "host.example", "\x1b]0;title\x07", "\xe2\x80\xae"});
    text(call.target, {"", "/some/file", "socket:[1]"});
    call.task = task();
    registers(call.stack.registers);
    return call;
}

inline lw_step RecordScript::step()
{
    lw_step step = {};
    step.time_ns = time_ns();
    step.probe = byte() % 32u;
    const std::uint32_t sizes[] = {offsetof(lw_step, text), offsetof(lw_step, misuse), sizeof step};
    step.size = sizes[byte() % std::size(sizes)];
    for (auto& argument : step.args) argument = byte() % 16u == 0 ? ~0ull : 0x1000u + byte();
    text(step.text, {"", "name", "\x1b[2J"});
    auto& misuse = step.misuse;
    if (step.size < sizeof step) return step;
    misuse.in_task = byte() % 3u;
    misuse.location = byte() * 16u;
    misuse.asked_ns = byte() % 2u == 0 ? 0 : time_ns();
    text(misuse.file, {"", "a.cpp", "/\n"});
    text(misuse.function, {"", "f()", "void g<int>(\x01)"});
    misuse.call_count = byte() % 4u;
    misuse.task = task();
    return step;
}

// Of a thread as the scheduler's view has it.
inline loopwatch::OngoingDispatch RecordScript::ongoing()
{
    lw_loop loop = {};
    const auto which = byte();
    loop.seq = which % 8u;
    loop.off = which / 8 % 5u;
    loop.place = which / 64 == 3 ? LW_NO_PLACE : which / 64u;
    loop.places = which % 5u;
    loop.off_ns = time_ns();
    loop.wake_ns = which & 1 ? time_ns() : 0;
    loop.entered_ns = which & 2 ? time_ns() : 0;
    loop.seen_ns = which & 4 ? time_ns() : 0;
    loop.blocked_ns = length_ns();
    loop.runq_ns = length_ns();
    loop.other_blocked_ns = which & 8 ? length_ns() : 0;
    loop.blocks = which;
    overwrite(loop);
    return loopwatch::ongoing_dispatch(loop);
}

template <class Record>
void RecordScript::overwrite(Record& record)
{
    if (!wild_) return;
    std::uint8_t bytes[sizeof record];
    std::memcpy(bytes, &record, sizeof record);
    for (auto patches = byte() % 4u; patches > 0; --patches) {
        const auto at = (byte() * 256u + byte()) % sizeof record;
        for (std::size_t i = 0, count = byte() % 16u; i < count; ++i) bytes[(at + i) % sizeof record] = byte();
    }
    std::memcpy(&record, bytes, sizeof record);
}

template <class Record>
void RecordScript::tell(Record record, const std::vector<std::uint8_t>& behind,
                        const std::function<void(const loopwatch::Event&)>& handle)
{
    if constexpr (requires { record.stack; }) record.stack.bytes = static_cast<std::uint32_t>(behind.size());
    const auto kind = reinterpret_cast<const lw_event&>(record).kind;
    overwrite(record);
    auto& head = reinterpret_cast<lw_event&>(record);
    head.kind = kind;
    head.size = static_cast<std::uint32_t>(sizeof record + behind.size());
    head.pid = static_cast<std::uint32_t>(::getpid());  // of those that are watched: others are not looked at
    if constexpr (requires { record.waker.pid; })
        if (record.waker.pid != head.pid) record.waker.pid |= 1u << 23;  // nobody
    std::vector<std::uint8_t> bytes(head.size);
    std::memcpy(bytes.data(), &record, sizeof record);
    std::ranges::copy(behind, bytes.begin() + sizeof record);
    (void)loopwatch::decode(bytes, handle);
}
