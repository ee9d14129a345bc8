// SPDX-License-Identifier: Apache-2.0
//
// Boost.Asio (WITH_BOOST) or Asio alone, under one name.
#pragma once

#ifdef WITH_BOOST
#include <boost/asio.hpp>
namespace net = boost::asio;
using error_code = boost::system::error_code;
#else
#include <asio.hpp>
namespace net = asio;
using error_code = asio::error_code;
#endif
