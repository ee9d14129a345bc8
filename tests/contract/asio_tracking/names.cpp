// SPDX-License-Identifier: Apache-2.0
//
// How operations are called, held while this compiles: what g++ and clang++ name their types.
#include <string_view>

#include <loopwatch/asio_type_name.hpp>

using loopwatch::asio_tracking::describe;

// `type` is what the compiler says; is_users: a handler of the program was found in it.
constexpr bool is_called(std::string_view type, std::string_view name, bool is_users = true)
{
    char pretty[1024] = "f() [with Operation = ";
    std::size_t length = std::string_view(pretty).size();
    for (const char c : type) pretty[length++] = c;
    for (const char c : std::string_view("; std::string_view = std::basic_string_view<char>]")) pretty[length++] = c;
    const auto described = describe(std::string_view(pretty, length));
    return described.text == name && described.is_users == is_users;
}

// A handler, bound and wrapped.
static_assert(
    is_called("asio::detail::executor_op<asio::detail::binder0<main()::<lambda()> >, std::allocator<void>, "
              "asio::detail::scheduler_operation>",
              "main()::<lambda()>"));
static_assert(
    is_called("boost::asio::detail::wait_handler<boost::asio::executor_binder<shop::Session::wait(int, char**)::"
              "<lambda(const ec&)>, boost::asio::strand<boost::asio::any_io_executor> >, "
              "boost::asio::any_io_executor>",
              "shop::Session::wait()::<lambda()>"));
static_assert(
    is_called("asio::detail::descriptor_read_op<asio::mutable_buffers_1, asio::detail::read_op<"
              "asio::posix::basic_stream_descriptor<>, asio::mutable_buffers_1, const asio::mutable_buffer*, "
              "asio::detail::transfer_all_t, {anonymous}::OnRead<int, 3> >, asio::any_io_executor>",
              "{anonymous}::OnRead<>"));
// Of several, the last: handlers stand behind the streams and conditions they are for.
static_assert(is_called("asio::detail::read_op<shop::Stream, asio::mutable_buffers_1, shop::Until, shop::OnRead>",
                        "shop::OnRead"));
// As clang++ has it.
static_assert(is_called("asio::detail::wait_handler<(lambda at /srv/shop/server.cpp:12:7), asio::any_io_executor>",
                        "(server.cpp:12:7)"));
static_assert(is_called("asio::detail::wait_handler<shop::(anonymous namespace)::Handler, asio::any_io_executor>",
                        "shop::(anonymous namespace)::Handler"));
// Members, bound.
static_assert(
    is_called("asio::detail::wait_handler<std::_Bind<void (Session::*(Session*, std::_Placeholder<1>))"
              "(const std::error_code&)>, asio::any_io_executor>",
              "void (Session::*())()"));
static_assert(
    is_called("boost::asio::detail::wait_handler<boost::_bi::bind_t<void, boost::_mfi::mf1<void, Session, const "
              "boost::system::error_code&>, boost::_bi::list2<boost::_bi::value<Session*>, boost::arg<1> > >, "
              "boost::asio::any_io_executor>",
              "Session"));
// Where no name is the user's: what Asio calls the operation.
static_assert(
    is_called("asio::detail::wait_handler<asio::detail::awaitable_handler<asio::any_io_executor, std::error_code, "
              "long unsigned int>, asio::any_io_executor>",
              "async_wait", false));
static_assert(is_called("asio::detail::wait_handler<void (*)(const std::error_code&), asio::any_io_executor>",
                        "async_wait", false));
static_assert(
    is_called("asio::detail::executor_op<asio::detail::binder0<std::function<void()> >, std::allocator<void>, "
              "asio::detail::scheduler_operation>",
              "execute", false));
static_assert(
    is_called("asio::detail::reactive_socket_move_accept_op<asio::ip::tcp, asio::any_io_executor, "
              "asio::detail::awaitable_handler<asio::any_io_executor, std::error_code>, asio::any_io_executor>",
              "async_accept", false));
static_assert(is_called("asio::detail::an_operation_of_tomorrow<asio::any_io_executor>", "an_operation_of_tomorrow",
                        false));
// Of a long name, the end.
static_assert(
    is_called("asio::detail::wait_handler<a_company::of_some_size::a_project::a_service::a_module::Session_of_it, "
              "asio::any_io_executor>",
              "ny::of_some_size::a_project::a_service::a_module::Session_of_it"));
static_assert(
    describe("f [with Operation = asio::detail::executor_op<asio::detail::strand_executor_service::invoker<const "
             "asio::io_context::basic_executor_type<std::allocator<void>, 0> >, std::allocator<void> >]")
        .is_carrier);

int main()
{
}
