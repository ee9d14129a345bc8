// SPDX-License-Identifier: Apache-2.0
#include "util/reactor.hpp"

#include <sys/epoll.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <chrono>
#include <utility>
#include <vector>

#include "util/fd.hpp"

namespace loopwatch {

struct Reactor::Context {
    ::asio::io_context asio{1};  // one thread: Asio takes fewer locks
    ::asio::executor_work_guard<::asio::io_context::executor_type> goes_on = ::asio::make_work_guard(asio);
    std::vector<std::shared_ptr<Watch::State>> unarmed;
};

struct Reactor::Watch::State : std::enable_shared_from_this<State> {
    State(Context& of, std::function<void()> what) : context(of), ready(of.asio), then(std::move(what)) {}
    // Once in a wait: who only notes that a descriptor is ready, and reads it later, would be called for ever.
    void arm()
    {
        if (!then) return;
        ready.async_wait(ready.wait_read, [self = shared_from_this()](const asio::error_code& error) {
            if (error || !self->then) return;  // ended meanwhile
            self->context.unarmed.push_back(self);
            const auto then = self->then;  // it may end in this
            then();
        });
    }
    void end()
    {
        then = nullptr;
        asio::error_code ignored;
        ready.close(ignored);
    }

    Context& context;
    // An epoll of the descriptor: Asio makes what it is given non-blocking, for all who share it, and that may be a
    // terminal.
    asio::posix::stream_descriptor ready;
    std::function<void()> then;
};

Reactor::Watch::Watch() = default;
Reactor::Watch::Watch(Watch&&) noexcept = default;

Reactor::Watch::~Watch()
{
    if (state_) state_->end();
}

Reactor::Watch& Reactor::Watch::operator=(Watch&& other) noexcept
{
    std::swap(state_, other.state_);
    return *this;
}

Reactor::Reactor() : context_(std::make_unique<Context>())
{
}
Reactor::~Reactor() = default;

Result<Reactor::Watch> Reactor::watch(int descriptor, Ready ready, std::function<void()> then)
{
    Watch watch;
    Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event = {};
    event.events = ready == Ready::readable ? EPOLLIN : EPOLLOUT;
    if (!epoll || ::epoll_ctl(epoll.raw(), EPOLL_CTL_ADD, descriptor, &event) != 0)
        return errno_error(ExitCode::failed, "cannot wait for a descriptor");
    auto state = std::make_shared<Watch::State>(*context_, std::move(then));
    asio::error_code error;
    state->ready.assign(epoll.raw(), error);
    if (error) return Error{ExitCode::failed, "cannot wait for a descriptor: " + error.message(), ""};
    (void)epoll.release();
    context_->unarmed.push_back(state);
    watch.state_ = std::move(state);
    return watch;
}

void Reactor::wait_until(std::uint64_t time_ns, std::function<void()> then)
{
    for (const auto& state : std::exchange(context_->unarmed, {})) state->arm();
    auto& asio = context_->asio;
    asio.restart();
    // Of Linux' libstdc++ the steady clock is CLOCK_MONOTONIC.
    const std::chrono::steady_clock::time_point until{std::chrono::nanoseconds(time_ns)};
    // It looks at nothing once the moment has passed.
    if (std::chrono::steady_clock::now() >= until || asio.run_one_until(until) != 0) asio.poll();
    if (!then) return;
    bool done = false;
    ::asio::post(asio, [&] {
        then();
        done = true;
    });
    while (!done) asio.run_one();
}

}  // namespace loopwatch
