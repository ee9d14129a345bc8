// SPDX-License-Identifier: Apache-2.0
//
// Passwords and tokens are never in the configuration, only where they are: "env:NAME", or the path of a file that its
// owner alone may read. So a configuration may be shown, and stays out of `ps` and of reports.
#pragma once

#include <string>
#include <string_view>

#include "util/result.hpp"

namespace loopwatch {

// The secret, without line ends behind it. Fails with ExitCode::usage: no such file or variable, a file that others may
// read or write, or that belongs to another user than root and loopwatch's own, nothing in it, or more than 64 KiB.
Result<std::string> read_secret(std::string_view place);

}  // namespace loopwatch
