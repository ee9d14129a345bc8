// SPDX-License-Identifier: Apache-2.0
//
// What is kept of something that goes on for longer than there is room: a part of all of it, evenly spread, not its
// beginning. Of the samples of a callback that burns 200 ms in one function and 1,500 ms in another, the first 50 all
// show the former.
#pragma once

#include <cstddef>
#include <utility>

namespace loopwatch {

// Of each two neighbours one goes: merge(KEPT, GONE) gives its weight to the other. In turn the later and the earlier,
// since always the later would favour what was done first.
template <class List, class Merge>
void thin(List& list, Merge&& merge)
{
    const auto whole = list.size();
    std::size_t kept = 0;
    for (std::size_t first = 0; first < whole; first += 2, ++kept) {
        auto stays = first;
        if (first + 1 < whole) {
            stays += kept % 2;
            merge(list[stays], list[stays == first ? first + 1 : first]);
        }
        if (stays != kept) list[kept] = std::move(list[stays]);
    }
    list.resize(kept);
}

}  // namespace loopwatch
