// SPDX-License-Identifier: Apache-2.0
//
// Where an operation of Asio was started, kept from then until it completes: only while somebody is attached, since an
// operation has no room for it. Part of asio_tracking.hpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include <loopwatch/join.hpp>

namespace loopwatch::asio_tracking {

// Where operations are started: what BOOST_ASIO_HANDLER_LOCATION says, which stands on the stack while they are. Asio's
// tokens say it, and so may a program.
class Location {
public:
    Location(const char* file, int line, const char* function) noexcept
    {
        if (!probe::attached()) return;
        at_ = {file, function, static_cast<lw_u32>(line), 0};
        is_asios_ = file != nullptr && (std::strstr(file, "asio/impl/") != nullptr || std::strstr(file, "asio/ssl/"));
        outer_ = innermost;
        innermost = this;
    }
    // One that stands across a suspension is not the innermost any more.
    ~Location()
    {
        if (innermost == this) innermost = outer_;
    }
    Location(const Location&) = delete;
    Location& operator=(const Location&) = delete;

    // The outermost that is not in Asio itself, whose lines say nothing of the program. `unsaid`: Asio's are all there
    // is, and no token hides that it does not know.
    static const lw_location* find(bool& unsaid) noexcept
    {
        const Location* users = nullptr;
        unsaid = true;
        for (const Location* location = innermost; location != nullptr; location = location->outer_) {
            unsaid = unsaid && location->is_asios_;
            if (location->at_.file != nullptr && !location->is_asios_) users = location;
        }
        return users != nullptr ? lasting(users->at_) : nullptr;
    }

    static inline thread_local const Location* innermost = nullptr;

private:
    // A record of it that never changes: the collector reads one once. A program has so many places that start
    // operations; of those beyond 1024, or that hash to the same eight, nothing is told.
    static const lw_location* lasting(const lw_location& at) noexcept
    {
        enum : int { empty, being_written, written };  // by whoever turned it from empty
        struct Place {
            std::atomic<int> state;
            lw_location at;
        };
        static Place places[1024];
        const auto hash = (reinterpret_cast<std::uintptr_t>(at.file) + at.line * 64u) * 0x9e3779b97f4a7c15u >> 54;
        for (unsigned i = 0; i < 8; ++i) {
            Place& place = places[(hash + i) % 1024];
            int state = empty;
            if (place.state.compare_exchange_strong(state, being_written, std::memory_order_acquire)) {
                place.at = at;
                place.state.store(written, std::memory_order_release);
                return &place.at;
            }
            if (state == written && place.at.file == at.file && place.at.line == at.line &&
                place.at.function == at.function)
                return &place.at;
        }
        return nullptr;
    }

    lw_location at_;  // unless somebody was attached, none of it is set
    bool is_asios_;
    const Location* outer_;
};

// What is known of an operation from when it was started; all of it lives as long as the program.
struct Origin {
    lw_u64 id = 0;  // 0: nobody was attached then
    const lw_location* where = nullptr;
    const char* operation = nullptr;
    bool may_block = false;  // it runs on threads that are there for that
};

// By the address of the operation, while somebody is attached. Lossy: of those that hash to the same four, the last.
class Origins {
public:
    // Whether there may be some. Then one that ends while nobody is attached clears them: another may get its address.
    static bool kept() noexcept { return kept_.load(std::memory_order_relaxed); }

    static void put(const void* operation, const Origin& origin) noexcept
    {
        kept_.store(true, std::memory_order_relaxed);
        Entry* const set = set_of(operation);
        Entry* to = &set[origin.id % 4];
        for (unsigned i = 0; i < 4; ++i) {
            const void* const there = set[i].operation.load(std::memory_order_relaxed);
            if (there == nullptr || there == operation) to = &set[i];
            if (there == operation) break;
        }
        if (to->operation.exchange(&being_used, std::memory_order_acquire) == &being_used) return;
        to->origin = origin;
        to->session = session_.load(std::memory_order_relaxed);
        to->operation.store(operation, std::memory_order_release);
    }

    [[gnu::cold, gnu::noinline]] static Origin take(const void* operation) noexcept
    {
        Origin origin;
        if (!LoopProbes::attached()) {
            session_.fetch_add(1, std::memory_order_relaxed);
            kept_.store(false, std::memory_order_relaxed);
            return origin;
        }
        Entry* const set = set_of(operation);
        for (unsigned i = 0; i < 4; ++i) {
            const void* there = set[i].operation.load(std::memory_order_relaxed);
            if (there != operation) continue;
            if (!set[i].operation.compare_exchange_strong(there, &being_used, std::memory_order_acquire)) break;
            if (set[i].session == session_.load(std::memory_order_relaxed)) origin = set[i].origin;
            set[i].operation.store(nullptr, std::memory_order_release);
            break;
        }
        return origin;
    }

private:
    struct Entry {
        std::atomic<const void*>
            operation;  // null: empty; &being_used: whoever put that there reads or writes the rest
        Origin origin;
        unsigned session;
    };
    static constexpr unsigned sets = 4096;  // 900 KB, of which no page is touched before somebody attaches
    static Entry* set_of(const void* operation) noexcept
    {
        static Entry entries[sets * 4];
        const auto address = reinterpret_cast<std::uintptr_t>(operation);
        return &entries[(address >> 5 ^ address >> 12) % sets * 4];  // neighbours apart, and so what begins its page
    }

    static inline const char being_used = 0;
    static inline std::atomic<bool> kept_{false};
    static inline std::atomic<unsigned> session_{0};
};

}  // namespace loopwatch::asio_tracking
