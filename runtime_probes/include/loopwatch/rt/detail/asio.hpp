// SPDX-License-Identifier: Apache-2.0
//
// Stands before the first header of Asio that the runtime includes; see asio_handlers.hpp.
#pragma once

#if !defined(ASIO_CUSTOM_HANDLER_TRACKING) && !defined(ASIO_ENABLE_HANDLER_TRACKING) && \
    !defined(ASIO_DETAIL_HANDLER_TRACKING_HPP)
#define ASIO_CUSTOM_HANDLER_TRACKING <loopwatch/rt/detail/asio_handlers.hpp>
#endif
