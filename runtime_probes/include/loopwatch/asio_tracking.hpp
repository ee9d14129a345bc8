// SPDX-License-Identifier: Apache-2.0
//
// The probes for programs on Asio or Boost.Asio, unmodified, by one flag:
//
//   -DBOOST_ASIO_CUSTOM_HANDLER_TRACKING='<loopwatch/asio_tracking.hpp>'      (Asio alone: ASIO_CUSTOM_HANDLER_TRACKING)
//
// Asio includes this file and calls the macros at its end; it must not include Asio. Each thread that runs handlers is a
// loop, each handler a dispatch. No operation grows: none gets a base class, its address is its identity, so code built
// with and without the flag may be linked together. From C++17 on.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <pthread.h>

#include <loopwatch/asio_type_name.hpp>
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

    // The outermost that is not in Asio itself, or the outermost: within it stand those of the operations of which one is
    // composed. `unsaid`: Asio's are all there is, and no token hides that it does not know.
    static const lw_location* find(bool& unsaid) noexcept
    {
        const Location *users = nullptr, *asios = nullptr;
        unsaid = true;
        for (const Location* location = innermost; location != nullptr; location = location->outer_) {
            unsaid = unsaid && location->is_asios_;
            if (location->at_.file != nullptr) (location->is_asios_ ? asios : users) = location;
        }
        const Location* const found = users != nullptr ? users : asios;
        return found != nullptr ? lasting(found->at_) : nullptr;
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
            const void* there = operation;
            if (!set[i].operation.compare_exchange_strong(there, &being_used, std::memory_order_acquire)) continue;
            if (set[i].session == session_.load(std::memory_order_relaxed)) origin = set[i].origin;
            set[i].operation.store(nullptr, std::memory_order_release);
            break;
        }
        return origin;
    }

private:
    struct Entry {
        std::atomic<const void*> operation;  // null: empty; &being_used: whoever put that there reads or writes the rest
        Origin origin;
        unsigned session;
    };
    static constexpr unsigned sets = 4096;  // 900 KB, of which no page is touched before somebody attaches
    static Entry* set_of(const void* operation) noexcept
    {
        static Entry entries[sets * 4];
        return &entries[(reinterpret_cast<std::uintptr_t>(operation) * 0x9e3779b97f4a7c15u >> 52) % sets * 4];
    }

    static inline const char being_used = 0;
    static inline std::atomic<bool> kept_{false};
    static inline std::atomic<unsigned> session_{0};
};

// A thread that runs handlers. It is a loop from its first handler on until it ends; a thread that only posts is none.
class Thread {
public:
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;
    ~Thread()
    {
        current_ = nullptr;
        over_ = true;
    }

    // Null: a thread that ends, or one that runs another loop, which drives Asio within its own polls.
    static Thread* current() noexcept
    {
        Thread* const thread = current_ != nullptr ? current_ : begin_thread();
        return thread != nullptr && detail::loops_of_thread == 1 ? thread : nullptr;
    }
    // The task of the dispatch that runs.
    static const Thread* running() noexcept { return current_ != nullptr && current_->depth_ > 0 ? current_ : nullptr; }
    const lw_task& task() const noexcept { return task_; }
    const TypeName* type() const noexcept { return type_; }

    void begin(const TypeName& type, const Origin& origin, const void* frame) noexcept
    {
        if (++depth_ == 1) {
            name(type, origin);
            if (LoopProbes::attached()) {
                task_.id = origin.id != 0 ? origin.id : next_task_id();
                task_.resumes = task_.busy_ticks = 0;
                Location::innermost = nullptr;
            }
            task_.state = LW_TASK_CREATED;
            probes_.set_stack_top(frame);
            probes_.begin(&task_, origin.where);
            return;
        }
        // Within another, as what a strand runs at once: no dispatch of its own, but who holds the loop is the innermost.
        if (LoopProbes::attached() && (type.is_users || origin.where != nullptr)) name(type, origin);
        if (origin.id != 0) probe::task_start(origin.id);
    }
    void end() noexcept
    {
        if (--depth_ != 0) return;
        if (LoopProbes::attached()) Location::innermost = nullptr;
        task_.state = LW_TASK_FINISHED;
        probes_.end();
    }

private:
    Thread() noexcept : probes_((pthread_getname_np(pthread_self(), comm_, sizeof comm_), comm_)) {}

    [[gnu::cold, gnu::noinline]] static Thread* begin_thread() noexcept
    {
        if (over_ || detail::loops_of_thread > 0) return nullptr;
        // In the child of a fork the loop begins anew.
        [[maybe_unused]] static const int installed = pthread_atfork(nullptr, nullptr, [] {
            if (current_ != nullptr) detail::loops_of_thread = 0;
            current_ = nullptr;
        });
        static thread_local Thread thread;
        thread.probes_.start();
        return current_ = &thread;
    }

    void name(const TypeName& type, const Origin& origin) noexcept
    {
        type_ = &type;
        task_.name = type.is_users || origin.operation == nullptr ? type.text : origin.operation;
        task_.created_at = frame_.created_at = frame_.suspended_at = origin.where;
        task_.leaf = origin.where != nullptr ? &frame_ : nullptr;
    }

    static inline thread_local Thread* current_ = nullptr;
    static inline thread_local bool over_ = false;

    char comm_[16] = "asio";
    LoopProbes probes_;
    lw_task task_{};  // of the dispatch that runs, or ran last
    lw_frame frame_{};
    const TypeName* type_ = nullptr;
    unsigned depth_ = 0;  // of handlers that run within each other
};

template <class Error>
auto is_aborted(const Error& error) noexcept -> decltype(error.category().name(), error.value() == 0)
{
    return error.value() == ECANCELED && std::strcmp(error.category().name(), "system") == 0;
}
template <class... Any>
bool is_aborted(const Any&...) noexcept
{
    return false;
}
template <class Error, class Next, class... Rest>
bool is_aborted(const Error& error, const Next&, const Rest&...) noexcept
{
    return is_aborted(error);
}

template <class Context, class Operation>
void creation(Context&, Operation& operation, const char* object, void*, std::uintmax_t, const char* name) noexcept
{
    constexpr const TypeName& type = type_name<Operation>;
    if (type.is_carrier || !LoopProbes::attached()) return;
    Origin origin;
    origin.id = next_task_id();
    origin.operation = name;
    origin.may_block = std::strcmp(object, "thread_pool") == 0 || std::strcmp(object, "system_executor") == 0;
    bool unsaid = false;
    origin.where = Location::find(unsaid);
    const Thread* const running = Thread::running();
    // The next step of a composed operation was started where its first was.
    if (unsaid && running != nullptr && running->type() == &type) origin.where = running->task().created_at;
    Origins::put(&operation, origin);
    probe::task_create(origin.id, running != nullptr ? running->task().id : 0, type.is_users ? type.text : name,
                       origin.where);
}

// Stands in the function that completes an operation, beyond its handler and what that holds.
class Completion {
public:
    template <class Operation>
    explicit Completion(const Operation& operation) noexcept : type_(&type_name<Operation>)
    {
        // Before its memory is given back and may be another's.
        if (probe::attached() || Origins::kept()) origin_ = Origins::take(&operation);
    }
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    ~Completion()
    {
        if (thread_ != nullptr) thread_->end();
        if (origin_.id != 0) tell_end();
    }

    template <class... Arguments>
    void invocation_begin(const Arguments&... arguments) noexcept
    {
        outcome_ = LW_OUTCOME_EXCEPTION;  // unless it returns
        if (type_->is_carrier) return;
        if (origin_.id != 0) is_aborted_ = is_aborted(arguments...);
        if (!origin_.may_block) thread_ = Thread::current();
        if (thread_ != nullptr)
            thread_->begin(*type_, origin_, this);
        else if (origin_.id != 0)
            probe::task_start(origin_.id);
    }
    void invocation_end() noexcept { outcome_ = is_aborted_ ? LW_OUTCOME_CANCELLED : LW_OUTCOME_RESULT; }

private:
    static constexpr int not_run = -1;

    [[gnu::cold, gnu::noinline]] void tell_end() noexcept
    {
        if (detail::forked) return;
        if (outcome_ != not_run) probe::task_finish(origin_.id, outcome_);
        probe::task_destroy(origin_.id, outcome_ != not_run ? LW_TASK_FINISHED : LW_TASK_SUSPENDED);
    }

    const TypeName* const type_;
    Thread* thread_ = nullptr;
    int outcome_ = not_run;
    bool is_aborted_ = false;
    Origin origin_;
};

template <class... Any>
void ignore(const Any&...) noexcept
{
}

}  // namespace loopwatch::asio_tracking

// clang-format off
#ifdef BOOST_ASIO_CUSTOM_HANDLER_TRACKING
#define BOOST_ASIO_INHERIT_TRACKED_HANDLER
#define BOOST_ASIO_ALSO_INHERIT_TRACKED_HANDLER
#define BOOST_ASIO_HANDLER_TRACKING_INIT (void)0
#define BOOST_ASIO_HANDLER_LOCATION(args) ::loopwatch::asio_tracking::Location tracked_location args
#define BOOST_ASIO_HANDLER_CREATION(args) ::loopwatch::asio_tracking::creation args
#define BOOST_ASIO_HANDLER_COMPLETION(args) ::loopwatch::asio_tracking::Completion tracked_completion args
#define BOOST_ASIO_HANDLER_INVOCATION_BEGIN(args) tracked_completion.invocation_begin args
#define BOOST_ASIO_HANDLER_INVOCATION_END tracked_completion.invocation_end()
#define BOOST_ASIO_HANDLER_OPERATION(args) ::loopwatch::asio_tracking::ignore args
#define BOOST_ASIO_HANDLER_REACTOR_REGISTRATION(args) ::loopwatch::asio_tracking::ignore args
#define BOOST_ASIO_HANDLER_REACTOR_DEREGISTRATION(args) ::loopwatch::asio_tracking::ignore args
#define BOOST_ASIO_HANDLER_REACTOR_READ_EVENT 1
#define BOOST_ASIO_HANDLER_REACTOR_WRITE_EVENT 2
#define BOOST_ASIO_HANDLER_REACTOR_ERROR_EVENT 4
#define BOOST_ASIO_HANDLER_REACTOR_EVENTS(args) ::loopwatch::asio_tracking::ignore args
#define BOOST_ASIO_HANDLER_REACTOR_OPERATION(args) ::loopwatch::asio_tracking::ignore args
#endif
#ifdef ASIO_CUSTOM_HANDLER_TRACKING
#define ASIO_INHERIT_TRACKED_HANDLER
#define ASIO_ALSO_INHERIT_TRACKED_HANDLER
#define ASIO_HANDLER_TRACKING_INIT (void)0
#define ASIO_HANDLER_LOCATION(args) ::loopwatch::asio_tracking::Location tracked_location args
#define ASIO_HANDLER_CREATION(args) ::loopwatch::asio_tracking::creation args
#define ASIO_HANDLER_COMPLETION(args) ::loopwatch::asio_tracking::Completion tracked_completion args
#define ASIO_HANDLER_INVOCATION_BEGIN(args) tracked_completion.invocation_begin args
#define ASIO_HANDLER_INVOCATION_END tracked_completion.invocation_end()
#define ASIO_HANDLER_OPERATION(args) ::loopwatch::asio_tracking::ignore args
#define ASIO_HANDLER_REACTOR_REGISTRATION(args) ::loopwatch::asio_tracking::ignore args
#define ASIO_HANDLER_REACTOR_DEREGISTRATION(args) ::loopwatch::asio_tracking::ignore args
#define ASIO_HANDLER_REACTOR_READ_EVENT 1
#define ASIO_HANDLER_REACTOR_WRITE_EVENT 2
#define ASIO_HANDLER_REACTOR_ERROR_EVENT 4
#define ASIO_HANDLER_REACTOR_EVENTS(args) ::loopwatch::asio_tracking::ignore args
#define ASIO_HANDLER_REACTOR_OPERATION(args) ::loopwatch::asio_tracking::ignore args
#endif
// clang-format on
