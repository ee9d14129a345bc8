// SPDX-License-Identifier: Apache-2.0
//
// Included before the first header of Asio that the runtime includes.
#pragma once

// See asio_handlers.hpp.
#if !defined(ASIO_CUSTOM_HANDLER_TRACKING) && !defined(ASIO_ENABLE_HANDLER_TRACKING) && \
    !defined(ASIO_DETAIL_HANDLER_TRACKING_HPP)
#define ASIO_CUSTOM_HANDLER_TRACKING <loopwatch/rt/detail/asio_handlers.hpp>
#endif

// Asio before 1.24 takes clang's coroutines for those of the technical specification, and leaves out asio::awaitable.
#if defined(__clang__) && defined(__cpp_impl_coroutine) && !defined(ASIO_DISABLE_CO_AWAIT) && \
    !defined(ASIO_HAS_CO_AWAIT) && !defined(ASIO_DETAIL_CONFIG_HPP)
#define ASIO_HAS_CO_AWAIT 1
#endif
