// SPDX-License-Identifier: Apache-2.0
//
// Provocations that many rows share.
#pragma once

#include <cstdint>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

#include "helpers.hpp"
#include "provocations.hpp"
#include "tap.hpp"

inline const timespec block = {0, static_cast<long>(block_ns)};
inline char buffer[64];

// Calls that end by themselves.
template <class Call>
Provocation timed(std::uint64_t arg, Call call)
{
    return [=] {
        tap::clear();
        call();
        return Expected{.arg = arg};
    };
}

// Nothing makes these slow.
template <class Call>
Provocation quick(Expected expected, Call call)
{
    expected.at_least_ns = 0;
    return [=] {
        tap::clear();
        call();
        return expected;
    };
}

template <class Call>
Provocation on_file(std::uint64_t arg, Call call)
{
    return [=] {
        const int fd = open(scratch("file").c_str(), O_RDWR | O_CREAT, 0600);
        tap::clear();
        call(fd);
        close(fd);
        return Expected{.fd = fd, .arg = arg, .at_least_ns = 0};
    };
}
