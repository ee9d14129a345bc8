// SPDX-License-Identifier: Apache-2.0
//
// Who a process is, as rules choose targets by it (attach/target_rules.hpp). Only what is asked for is read: ports cost
// a look at each descriptor. All of it is chosen by the process or its owner, and may change with the next exec.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "target/cgroup.hpp"

namespace loopwatch {

enum class IdentityField : std::uint32_t {
    exe = 1,
    comm = 2,
    cmdline = 4,
    cgroup = 8,  // and the workload
    user = 16,
    image = 32,
    ports = 64,
};

// A set of fields.
struct IdentityFields {
    std::uint32_t bits = 0;

    static constexpr IdentityFields all() { return {127}; }
    constexpr bool has(IdentityField field) const { return (bits & static_cast<std::uint32_t>(field)) != 0; }
    constexpr void add(IdentityField field) { bits |= static_cast<std::uint32_t>(field); }
    bool operator==(const IdentityFields&) const = default;
};

struct ProcessIdentity {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  // clock ticks since boot: with the pid it names the process
    std::string exe;               // path in its own mount namespace, without " (deleted)"; empty: unreadable
    std::string comm;              // at most 15 bytes
    std::string cmdline;           // arguments with a space between them, at most 4,096 bytes
    uid_t uid = 0;                 // the real one
    std::string user;              // as /etc/passwd here has it; empty: it has none
    std::string cgroup;
    Workload workload;
    std::string image;                 // id or name of the container's image; empty: unknown without asking a daemon
    std::vector<std::uint16_t> ports;  // TCP ports that it listens on, ascending, each once
};

// None: it has ended, or is a thread. What cannot be read for want of permission is empty.
std::optional<ProcessIdentity> read_identity(pid_t pid, IdentityFields fields);

// "www-data" of 33, from /etc/passwd: getpwuid(3) may ask a directory server, which may not answer. Empty: not there.
std::string local_user_name(uid_t uid);

}  // namespace loopwatch
