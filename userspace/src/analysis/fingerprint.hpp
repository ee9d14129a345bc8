// SPDX-License-Identifier: Apache-2.0
//
// What makes two findings the same. The fingerprint holds across hosts and builds, with debug symbols of libraries and
// without, as the kernel side or the shim saw it: type, kind, the public name of the call and up to 5 functions of the
// user's own code from the blocking frame up, those of the loop and what started it left out. Of CPU time these are the
// functions that two thirds of its samples share (shared_path.hpp). The exact one tells builds and call sites apart:
// build-ids and offsets.
#pragma once

#include <string>
#include <string_view>

#include "analysis/finding.hpp"

namespace loopwatch {

// 16 hex digits. `source` is the costliest of a slow callback, the call itself of a blocking call. Without own
// functions on the stack the function in which the task was resumed (else created) stands in, so that endpoints do not
// fold into one; without a task the culprit's.
std::string fingerprint(std::string_view type, const Source& source, const std::optional<TaskInfo>& task);
// Does something in it tell one place of the program from another? If not, all such findings have one fingerprint.
bool has_place(const Source& source, const std::optional<TaskInfo>& task);
std::string fingerprint_exact(std::string_view type, const Source& source, const std::optional<TaskInfo>& task);

}  // namespace loopwatch
