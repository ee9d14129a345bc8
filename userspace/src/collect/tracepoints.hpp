// SPDX-License-Identifier: Apache-2.0
//
// Tracepoints by name, without a mounted tracefs: the file system is opened for the moment, attached nowhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "collect/attach.hpp"
#include "util/result.hpp"

struct bpf_program;

namespace loopwatch {

// The ids of those of `names` ("syscalls/sys_enter_poll") that this kernel has. Fails when there is no tracefs to be
// had, or it has none of them. Takes privileges that a session gives up once it is attached.
Result<std::vector<std::uint64_t>> find_tracepoints(const std::vector<std::string>& names);
Result<std::vector<Link>> attach_tracepoints(const bpf_program* program, const std::vector<std::uint64_t>& ids);

}  // namespace loopwatch
