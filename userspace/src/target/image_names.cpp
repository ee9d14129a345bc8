// SPDX-License-Identifier: Apache-2.0
#include "target/image_names.hpp"

#include <elf.h>

#include <cstring>

#include "target/process.hpp"

namespace loopwatch {

bool runs_image(pid_t pid, std::uint64_t random)
{
    const auto vector = read_proc(pid, "auxv", 4096).value_or("");
    Elf64_auxv_t entry;
    for (std::size_t at = 0; at + sizeof entry <= vector.size(); at += sizeof entry) {
        std::memcpy(&entry, vector.data() + at, sizeof entry);
        if (entry.a_type == AT_RANDOM) return entry.a_un.a_val == random;
    }
    return false;
}

}  // namespace loopwatch
