// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch ps`, `tree` and `where`: the tasks of a live process, read from outside. Nothing is attached, written or
// run, so it works on a process that hangs or is stopped, and for its own user without root.
#pragma once

#include "command/cli.hpp"
#include "util/result.hpp"

namespace loopwatch {

// To stdout or -o FILE. Fails with no_such_target if there is no such process or task, with not_permitted if its memory
// may not be read or it carries no tasks of ours.
Result<ExitCode> list_tasks(const Options& options);

}  // namespace loopwatch
