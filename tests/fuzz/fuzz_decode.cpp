// SPDX-License-Identifier: Apache-2.0
//
// One record of the ring, whose texts and numbers are the target's. The first byte tells whether the record states its
// true size, as the kernel side does, or any; the rest is the record.
#include <lw_event.h>

#include <cstddef>
#include <cstring>
#include <memory>

#include "visit_event.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    const auto bytes = size - 1;
    const auto record = std::make_unique<std::uint8_t[]>(bytes);  // so that a read beyond it is seen
    std::memcpy(record.get(), data + 1, bytes);
    if (const auto stated = static_cast<std::uint32_t>(bytes); data[0] % 2 == 0 && bytes >= sizeof(lw_event))
        std::memcpy(record.get() + offsetof(lw_event, size), &stated, sizeof stated);
    std::size_t events = 0;
    const auto told = loopwatch::decode({record.get(), bytes}, [&](const loopwatch::Event& event) {
        ++events;
        visit_event(event);
    });
    hold(told == events || told == 0, "as many events as were handed over, or an error");
    return 0;
}
