// SPDX-License-Identifier: Apache-2.0
//
// Prints how large Asio's objects and operations are: the flag must not change a byte.
#include <cstdio>

#include "library.hpp"

using Executor = net::any_io_executor;
using IoExecutor = net::io_context::executor_type;
using Tcp = net::ip::tcp;
struct Handler {
    template <class... Any>
    void operator()(const Any&...) const
    {
    }
};
using Buffers = net::mutable_buffer;
using Bound = net::detail::binder0<Handler>;

#define SIZE(...) std::printf("%s %zu\n", #__VA_ARGS__, sizeof(__VA_ARGS__))

int main()
{
    SIZE(net::io_context);
    SIZE(net::thread_pool);
    SIZE(net::steady_timer);
    SIZE(net::system_timer);
    SIZE(net::signal_set);
    SIZE(Tcp::socket);
    SIZE(Tcp::acceptor);
    SIZE(Tcp::resolver);
    SIZE(net::ip::udp::socket);
    SIZE(net::posix::stream_descriptor);
    SIZE(net::local::stream_protocol::socket);
    SIZE(net::strand<Executor>);
    SIZE(net::io_context::strand);
    SIZE(net::streambuf);
    SIZE(Executor);
    SIZE(net::detail::scheduler);
    SIZE(net::detail::scheduler_operation);
    SIZE(net::detail::reactor_op);
    SIZE(net::detail::wait_op);
    SIZE(net::detail::signal_op);
    SIZE(net::detail::resolve_op);
    SIZE(net::detail::wait_handler<Handler, Executor>);
    SIZE(net::detail::wait_handler<Handler, IoExecutor>);
    SIZE(net::detail::signal_handler<Handler, Executor>);
    SIZE(net::detail::completion_handler<Handler, IoExecutor>);
    SIZE(net::detail::executor_op<Bound, std::allocator<void>, net::detail::scheduler_operation>);
    SIZE(net::detail::reactive_socket_recv_op<Buffers, Handler, Executor>);
    SIZE(net::detail::reactive_socket_send_op<Buffers, Handler, Executor>);
    SIZE(net::detail::reactive_socket_connect_op<Handler, Executor>);
    SIZE(net::detail::reactive_socket_accept_op<Tcp::socket, Tcp, Handler, Executor>);
    SIZE(net::detail::reactive_wait_op<Handler, Executor>);
    SIZE(net::detail::descriptor_read_op<Buffers, Handler, Executor>);
    SIZE(net::detail::descriptor_write_op<Buffers, Handler, Executor>);
    SIZE(net::detail::resolve_query_op<Tcp, Handler, Executor>);
    SIZE(net::detail::read_op<Tcp::socket, Buffers, const Buffers*, net::detail::transfer_all_t, Handler>);
    SIZE(net::detail::write_op<Tcp::socket, Buffers, const Buffers*, net::detail::transfer_all_t, Handler>);
#ifdef NET_HAS_AWAITABLE
    SIZE(net::awaitable<void>);
    SIZE(net::detail::awaitable_handler<Executor, error_code>);
#endif
}
