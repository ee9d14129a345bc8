// SPDX-License-Identifier: Apache-2.0
//
// Where a process without a collector says what it has to say: stderr, or the file that LOOPWATCH_LOG names.
#pragma once

#include <cstddef>

namespace loopwatch::preload {

// Before the first line; stays with stderr if it cannot be opened.
void open_log(const char* name);
// Which file it is: from then on a line goes there or nowhere.
void note_log();
void write_log(const char* line, std::size_t bytes);

}  // namespace loopwatch::preload
