// SPDX-License-Identifier: Apache-2.0
//
// What the program has to say about itself, on stderr, one line each. Reports go through an Output.
#pragma once

#include <string>
#include <string_view>

#include "util/result.hpp"

namespace loopwatch {

// "loopwatch: WHAT (hint: HINT)", escaped for a terminal: names and paths of the target may be in it.
std::string error_line(const Error& error);

void print_error(const Error& error);          // "loopwatch: …"
void print_warning(std::string_view warning);  // "loopwatch: warning: …"
void print_note(std::string_view note);        // "loopwatch: …"

}  // namespace loopwatch
