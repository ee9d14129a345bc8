// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "caller_memory.hpp"

namespace loopwatch::preload {

// Appends to a text of fixed size; what does not fit is cut, the terminator always fits.
class Text {
public:
    template <std::size_t n>
    explicit Text(char (&to)[n]) : at_(to), end_(to + n - 1)
    {
        *at_ = '\0';
    }

    void add(char c)
    {
        if (at_ == end_) return;
        *at_++ = c;
        *at_ = '\0';
    }

    // Up to its terminator, the limit, or the first page that cannot be read.
    void add(const char* text, std::size_t limit)
    {
        if (limit == 0 || !is_readable(text, 1)) return;
        while (limit-- > 0 && *text != '\0' && at_ != end_) {
            add(*text++);
            if (reinterpret_cast<std::uint64_t>(text) % page_bytes == 0 && !is_readable(text, 1)) return;
        }
    }

    void add(std::uint64_t value, unsigned base)
    {
        if (value >= base) add(value / base, base);
        add("0123456789abcdef"[value % base]);
    }

    std::size_t length(const char* begin) const { return static_cast<std::size_t>(at_ - begin); }

private:
    char* at_;
    char* end_;
};

}  // namespace loopwatch::preload
