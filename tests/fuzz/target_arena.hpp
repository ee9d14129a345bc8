// SPDX-License-Identifier: Apache-2.0
//
// A target's memory as a fuzzer's input tells it. The input is
//   byte 0     how many tasks the first loop has; below 128: at most 15
//   byte 1     bits 0-2: coroutines a task; 6: each task awaits the one before it; 7: the script starts over at its end
//   then ops   {reads to wait, what, which one, field, kind of value, value}, a byte each
// and the arena begins as an honest runtime would leave it, so that a short input reaches deep and a single op bends
// one pointer. Ops that wait for nothing are done before the first read.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include <loopwatch/loop_state.h>

class Arena {
public:
    static Arena& of_this_process()
    {
        static Arena arena;
        return arena;
    }
    void begin(const std::uint8_t* data, std::size_t size)
    {
        std::uint8_t header[2] = {};
        std::memcpy(header, data, std::min(size, sizeof header));
        script_ = size <= sizeof header ? std::span<const std::uint8_t>()
                                        : std::span(data + sizeof header, (size - sizeof header) / op_bytes * op_bytes);
        tasks_ = header[0] % (header[0] < 128 ? 16 : max_tasks + 1);  // few as a rule: each costs time
        repeats_ = (header[1] & 0x80) != 0;
        at_ = waited_ = 0;
        publish(header[1] & 7u, (header[1] & 0x40) != 0);
        play();
    }
    // A read is about to happen.
    void step()
    {
        ++waited_;
        play();
    }
    // Such memory as the kernel can free or protect comes back.
    void end()
    {
        script_ = {};
        protect(0, bytes, PROT_READ | PROT_WRITE);
        hidden_ = 0;
    }
    bool is_still() const { return at_ == script_.size() && !(repeats_ && !script_.empty()); }
    bool is_honest() const { return script_.empty(); }
    std::size_t tasks() const { return tasks_; }
    std::uint64_t registry() const { return base; }

private:
    // Below where programs are linked to and far below the sanitizers' shadow: pointers are the same in every run.
    static constexpr std::uint64_t base = 0x200000;
    static constexpr std::size_t page = 4096, bytes = 10 * page, op_bytes = 6;

    static constexpr std::size_t max_tasks = 80;  // more than the reader takes at one moment
    struct Target {
        lw_registry registry;
        lw_loop_slot slots[4];
        lw_task tasks[max_tasks];  // over several pages, and some of them over a page's end
        lw_frame frames[128];
        lw_awaited awaited[32];
        lw_location locations[32];
        lw_backtrace stacks[8];
    };
    static constexpr std::size_t texts = sizeof(Target), text_bytes = bytes - texts;  // nothing is mapped behind them
    static_assert(text_bytes > page);

    enum : std::uint8_t { of_slot, of_task, of_all_tasks, of_frame, of_awaited, of_location, of_stack, of_text };
    enum : std::uint8_t { what_bits = 7, hide_bit = 0x20, half_bit = 0x40, xor_bit = 0x80 };

    Arena()
    {
        void* const at = ::mmap(std::bit_cast<void*>(base), bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (at != std::bit_cast<void*>(base)) {
            std::perror("the arena");
            std::abort();
        }
    }
    static Target& target() { return *std::bit_cast<Target*>(base); }
    static void protect(std::size_t offset, std::size_t size, int how)
    {
        if (::mprotect(std::bit_cast<void*>(base + offset), size, how) != 0) std::abort();
    }
    static char* text(std::size_t which) { return std::bit_cast<char*>(base + texts + which * 32 % text_bytes); }

    void publish(std::size_t frames, bool chained)
    {
        std::memset(std::bit_cast<void*>(base), 0, bytes);
        for (std::size_t i = 0; i < text_bytes / 32; ++i) std::snprintf(text(i), 32, "text<%zu> a(b)", i);
        auto& t = target();
        t.registry = {LW_SLOT_MAGIC, LW_ABI, 0, t.slots};
        for (std::size_t i = 0; i < std::size(t.slots); ++i) {
            auto& slot = t.slots[i];
            slot.loop_id = i + 1;
            slot.magic = LW_SLOT_MAGIC;
            slot.abi = LW_ABI;
            slot.size = sizeof slot;
            slot.name = text(i);
            slot.next = i + 1 < std::size(t.slots) ? &slot + 1 : nullptr;
        }
        for (std::size_t i = 0; i < std::size(t.locations); ++i)
            t.locations[i] = {text(i), text(i + 1), static_cast<lw_u32>(i), 0};
        for (std::size_t i = 0; i < std::size(t.frames); ++i)
            t.frames[i] = {i % 8 + 1 < frames ? &t.frames[i] + 1 : nullptr, &t.locations[i % 32], &t.locations[1],
                           i << 12};
        for (std::size_t i = 0; i < std::size(t.awaited); ++i)
            t.awaited[i] = {static_cast<lw_u32>(i % 8), static_cast<lw_s32>(i) - 1, i, text(i)};
        for (std::size_t i = 0; i < std::size(t.stacks); ++i) {
            t.stacks[i].count = i;
            std::ranges::fill(t.stacks[i].address, base + i);
        }
        for (std::size_t i = 0; i < tasks_; ++i) publish_task(i, frames, chained);
    }
    // The youngest leads, as in the runtime: task i is followed by task i - 1.
    void publish_task(std::size_t i, std::size_t frames, bool chained)
    {
        auto& t = target();
        auto& task = t.tasks[i];
        task.id = i + 1;
        task.parent_id = i;
        task.name = text(i);
        task.created_at = &t.locations[i % 32];
        task.leaf = frames == 0 ? nullptr : &t.frames[i * 8 % std::size(t.frames)];
        task.state = LW_TASK_SUSPENDED;
        task.cancel_requests = i % 2;
        task.cancel_reason = text(i + 1);
        task.awaited_task = chained ? i : 0;
        task.next = t.slots[0].tasks;
        if (task.next != nullptr) task.next->prev = &task;
        t.slots[0].tasks = &task;
        task.created_ns = task.resumes = i + 1;
        task.awaited = &t.awaited[i % 32];
        task.labels = text(i + 2);
        task.created_stack = &t.stacks[i % 8];
    }

    // All ops whose moment has come, each once: a script that starts over waits for the next read.
    void play()
    {
        for (std::size_t done = 0; done < script_.size(); done += op_bytes) {
            if (at_ == script_.size()) {
                if (!repeats_) return;
                at_ = 0;
            }
            const auto op = script_.subspan(at_, op_bytes);
            if (waited_ < op[0]) return;
            waited_ = 0;
            at_ += op_bytes;
            apply(op);
        }
        if (repeats_ && at_ == script_.size()) at_ = 0;
    }
    void apply(std::span<const std::uint8_t> op)
    {
        const auto what = op[1];
        const std::size_t which = op[2], field = op[3];
        if ((what & hide_bit) != 0) return hide(which % (bytes / page), (field & 1) != 0);
        const auto value = value_of(op[4], op[5]);
        const auto in = [&](auto& records) { store(records[which % std::size(records)], field, value, what); };
        auto& t = target();
        switch (what & what_bits) {
            case of_slot: return in(t.slots);
            case of_task: return in(t.tasks);
            case of_all_tasks:
                for (auto& task : t.tasks) store(task, field, value, what);
                return;
            case of_frame: return in(t.frames);
            case of_awaited: return in(t.awaited);
            case of_location: return in(t.locations);
            case of_stack: return in(t.stacks);
            case of_text: return fill(which, field, op[5]);
        }
    }
    template <class Record>
    void store(Record& record, std::size_t field, std::uint64_t value, std::uint8_t what)
    {
        const auto address =
            std::bit_cast<std::uint64_t>(&record) + field % (std::min<std::size_t>(sizeof record, 256) / 8) * 8;
        if (is_hidden(address, 8)) return;
        std::uint64_t old = 0;
        std::memcpy(&old, std::bit_cast<const void*>(address), sizeof old);
        if ((what & xor_bit) != 0) value ^= old;
        std::memcpy(std::bit_cast<void*>(address), &value, (what & half_bit) != 0 ? 4 : 8);
    }
    // A text without an end, up to the end of what is mapped.
    void fill(std::size_t which, std::size_t field, std::uint8_t with)
    {
        auto* const from = text(which);
        const auto left = base + bytes - std::bit_cast<std::uint64_t>(from);
        const auto length = std::min<std::size_t>(left, (field + 1) * 32);
        if (!is_hidden(std::bit_cast<std::uint64_t>(from), length)) std::memset(from, with, length);
    }
    void hide(std::size_t which, bool away)
    {
        protect(which * page, page, away ? PROT_NONE : PROT_READ | PROT_WRITE);
        hidden_ = (hidden_ & ~(1u << which)) | (away ? 1u << which : 0u);
    }
    bool is_hidden(std::uint64_t address, std::size_t size) const
    {
        for (auto at = (address - base) / page; at <= (address - base + size - 1) / page; ++at)
            if ((hidden_ >> at & 1) != 0) return true;
        return false;
    }
    static std::uint64_t value_of(std::uint8_t kind, std::uint8_t value)
    {
        static constexpr std::uint64_t wild[] = {1,
                                                 8,
                                                 0xfff,
                                                 0x1000,
                                                 0xffffffff,
                                                 base - 8,
                                                 base + bytes - 1,
                                                 base + bytes - 64,
                                                 base + bytes,
                                                 (1ull << 47) - 1,
                                                 1ull << 47,
                                                 1ull << 63,
                                                 ~0ull - 4096,
                                                 ~0ull,
                                                 ~0ull << 32};
        const auto address = [&](auto& records) {
            return std::bit_cast<std::uint64_t>(&records[value % std::size(records)]) + (kind >> 3) * 8u;
        };
        auto& t = target();
        switch (kind & 7) {
            case 0: return value;
            case 1: return wild[value % std::size(wild)];
            case 2: return address(t.tasks);
            case 3: return address(t.frames);
            case 4: return address(t.slots);
            case 5: return (kind & 0x80) != 0 ? address(t.stacks) : address(t.locations);
            case 6:
                return (kind & 0x80) != 0 ? address(t.awaited)
                                          : std::bit_cast<std::uint64_t>(text(value)) + (kind >> 3);
            default: return base + value * std::uint64_t{bytes / 256} + (kind >> 3);
        }
    }

    std::span<const std::uint8_t> script_;
    std::size_t tasks_ = 0, at_ = 0, waited_ = 0;
    bool repeats_ = false;
    std::uint32_t hidden_ = 0;  // a bit a page
};
