// SPDX-License-Identifier: Apache-2.0
#include "util/log.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "util/text.hpp"

namespace loopwatch {
namespace {

// One fwrite on an unbuffered stream is one write: lines of several processes do not mix.
void print_line(const std::string& line)
{
    std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

std::string error_line(const Error& error)
{
    const std::string what = escape_terminal(error.what);
    if (error.hint.empty()) return fmt::format("loopwatch: {}", what);
    return fmt::format("loopwatch: {} (hint: {})", what, escape_terminal(error.hint));
}

void print_error(const Error& error)
{
    print_line(error_line(error) + "\n");
}

void print_warning(std::string_view warning)
{
    print_line(fmt::format("loopwatch: warning: {}\n", escape_terminal(warning)));
}

void print_note(std::string_view note)
{
    print_line(fmt::format("loopwatch: {}\n", escape_terminal(note)));
}

}  // namespace loopwatch
