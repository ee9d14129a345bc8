// SPDX-License-Identifier: Apache-2.0
//
// The probes for programs on Asio or Boost.Asio, unmodified, by one flag:
//
//   -DBOOST_ASIO_CUSTOM_HANDLER_TRACKING='<loopwatch/asio_tracking.hpp>'      (Asio alone:
//   ASIO_CUSTOM_HANDLER_TRACKING)
//
// Asio includes this file and calls the macros at its end; it must not include Asio. Each thread that runs handlers is
// a loop, each handler a dispatch. No operation grows: none gets a base class, its address is its identity, so code
// built with and without the flag may be linked together. From C++17 on.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <pthread.h>

#include <loopwatch/asio_origin.hpp>
#include <loopwatch/asio_type_name.hpp>
#include <loopwatch/join.hpp>

namespace loopwatch::asio_tracking {

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
#ifdef LOOPWATCH_NO_PROBES
        return nullptr;
#else
        Thread* const thread = current_ != nullptr ? current_ : begin_thread();
        return thread != nullptr && detail::loops_of_thread == 1 ? thread : nullptr;
#endif
    }
    // The task of the dispatch that runs.
    static const Thread* running() noexcept
    {
        return current_ != nullptr && current_->depth_ > 0 ? current_ : nullptr;
    }
    const lw_task& task() const noexcept
    {
        return task_;
    }
    const TypeName* type() const noexcept
    {
        return type_;
    }

    void begin(const TypeName& type, const Origin& origin, const void* frame) noexcept
    {
        const bool is_dispatch = ++depth_ == 1;
        if (LoopProbes::attached())
            begin_told(type, origin, is_dispatch);
        else if (is_dispatch)
            task_.name = type.text;
        if (!is_dispatch) return;
        task_.state = LW_TASK_CREATED;
        probes_.set_stack_top(frame);
        probes_.begin(&task_, origin.where);
    }
    void end() noexcept
    {
        if (--depth_ != 0) return;
        task_.state = LW_TASK_FINISHED;
        probes_.end();
        if (type_ != nullptr) forget();
    }

private:
    Thread() noexcept : probes_((pthread_getname_np(pthread_self(), comm_, sizeof comm_), comm_))
    {
    }

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
        thread.task_.id = thread.unseen_id_;
        return current_ = &thread;
    }

    // Within another, as what a strand runs at once, it is no dispatch of its own, but who holds the loop is the
    // innermost that has a name or a place.
    [[gnu::cold, gnu::noinline]] void begin_told(const TypeName& type, const Origin& origin, bool is_dispatch) noexcept
    {
        if (is_dispatch) {
            task_.id = origin.id != 0 ? origin.id : next_task_id();
            task_.resumes = task_.busy_ticks = 0;
            Location::innermost = nullptr;
        } else if (origin.id != 0) {
            probe::task_start(origin.id);
        }
        if (!is_dispatch && !type.is_users && origin.where == nullptr) return;
        type_ = &type;
        task_.name = type.is_users || origin.operation == nullptr ? type.text : origin.operation;
        task_.created_at = frame_.created_at = frame_.suspended_at = origin.where;
        task_.leaf = origin.where != nullptr ? &frame_ : nullptr;
    }
    [[gnu::cold, gnu::noinline]] void forget() noexcept
    {
        Location::innermost = nullptr;
        type_ = nullptr;
        task_.id = unseen_id_;
        task_.created_at = nullptr;
        task_.leaf = nullptr;
    }

    static inline thread_local Thread* current_ = nullptr;
    static inline thread_local bool over_ = false;

    char comm_[16] = "asio";
    LoopProbes probes_;
    lw_task task_{};                           // of the dispatch that runs, or ran last
    const lw_u64 unseen_id_ = next_task_id();  // of dispatches that begin while nobody is attached
    lw_frame frame_{};
    const TypeName* type_ = nullptr;  // of the handler that it is named after, if somebody was attached
    unsigned depth_ = 0;              // of handlers that run within each other
};

template <class Error>
auto is_aborted(const Error& error) noexcept -> decltype(error.category().name(), error.value() == 0)
{
    return error.value() == ECANCELED && std::strstr(error.category().name(), "system") != nullptr;
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
