// SPDX-License-Identifier: Apache-2.0
//
// Where a daemon listens for commands: a Unix socket at a path, for root, the daemon's user and one group, and who of
// those that connect may give commands.
#pragma once

#include <sys/types.h>

#include <string>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

// A socket that listens, with its file, which is removed at the end unless another file has taken its place.
class ControlAddress {
public:
    // Mode 0660 with the group "loopwatch" where that exists, else root's; 0600 if the file cannot be given to it. The
    // folder is made if only it is missing. A socket that refuses connections is left from an earlier daemon, and is
    // replaced. Fails with ExitCode::failed: another daemon listens, something else is at the path, no rights.
    static Result<ControlAddress> open(const std::string& path);

    ControlAddress(ControlAddress&&) noexcept = default;
    ControlAddress& operator=(ControlAddress&&) = delete;
    ~ControlAddress();

    int descriptor() const noexcept { return socket_.raw(); }
    // Is the peer of this connection root, the daemon's own user, or in the group?
    bool permits(int connection) const;

private:
    ControlAddress(Fd socket, std::string path, gid_t group);

    Fd socket_;
    std::string path_;
    gid_t group_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace loopwatch
