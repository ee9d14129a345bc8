// SPDX-License-Identifier: Apache-2.0
#include "collect/own_maps.hpp"

#include <sys/mman.h>

#include <charconv>
#include <cstdint>
#include <fstream>
#include <string>

namespace loopwatch {

void keep_maps_from_children()
{
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        if (line.find("bpf-map") == std::string::npos) continue;
        std::uintptr_t start = 0, end = 0;
        const char* const last = line.data() + line.size();
        const auto [dash, error] = std::from_chars(line.data(), last, start, 16);
        if (error != std::errc() || std::from_chars(dash + 1, last, end, 16).ec != std::errc()) continue;
        ::madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTFORK);
    }
}

}  // namespace loopwatch
