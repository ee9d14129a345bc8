// SPDX-License-Identifier: Apache-2.0
//
// A note segment as a hostile file could hold it; the first byte chooses the alignment. Every byte that a note claims
// is touched.
#include <cstdlib>
#include <numeric>

#include "stack/module_scan.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) return 0;
    std::size_t sum = 0;
    loopwatch::parse_notes({data + 1, size - 1}, data[0] % 2 == 0 ? 4 : 8, [&](const loopwatch::Note& note) {
        sum = std::accumulate(note.owner.begin(), note.owner.end(), sum);
        sum = std::accumulate(note.descriptor.begin(), note.descriptor.end(), sum);
        if (note.descriptor_offset + note.descriptor.size() > size - 1) std::abort();
    });
    return sum == 1 ? 1 : 0;
}
