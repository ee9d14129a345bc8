// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>

// What must hold whatever the input is.
inline void hold(bool holds, const char* what)
{
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

// Fields of records are read as C strings.
template <std::size_t size>
void hold_terminated(const char (&text)[size])
{
    hold(std::memchr(text, 0, size) != nullptr, "a text that ends within its field");
}
