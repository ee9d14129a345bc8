// SPDX-License-Identifier: Apache-2.0
//
// What the runtime learns from Asio: the descriptor that an operation is on, which no initiating object gives away, and
// what is opened and closed. Asio alone includes this file, by ASIO_CUSTOM_HANDLER_TRACKING, which the CMake target
// sets, and without it detail/asio.hpp, if it comes before Asio. No operation grows: parts built without are silent.
#pragma once

#include <loopwatch/rt/detail/starting_operation.hpp>

#define ASIO_INHERIT_TRACKED_HANDLER
#define ASIO_ALSO_INHERIT_TRACKED_HANDLER
#define ASIO_HANDLER_TRACKING_INIT (void)0
#define ASIO_HANDLER_LOCATION(args) (void)0
#define ASIO_HANDLER_CREATION(args) ::loopwatch::detail::operation_created args
#define ASIO_HANDLER_COMPLETION(args) ::loopwatch::detail::operation_completed args
#define ASIO_HANDLER_INVOCATION_BEGIN(args) (void)0
#define ASIO_HANDLER_INVOCATION_END (void)0
#define ASIO_HANDLER_OPERATION(args) ::loopwatch::detail::operation_on args
#define ASIO_HANDLER_REACTOR_REGISTRATION(args) ::loopwatch::detail::descriptor_opened args
#define ASIO_HANDLER_REACTOR_DEREGISTRATION(args) ::loopwatch::detail::descriptor_closed args
#define ASIO_HANDLER_REACTOR_READ_EVENT 0
#define ASIO_HANDLER_REACTOR_WRITE_EVENT 0
#define ASIO_HANDLER_REACTOR_ERROR_EVENT 0
#define ASIO_HANDLER_REACTOR_EVENTS(args) (void)0
#define ASIO_HANDLER_REACTOR_OPERATION(args) (void)0
