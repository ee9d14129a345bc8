// SPDX-License-Identifier: Apache-2.0
//
// Bytes as a worker taken over by a hostile file could send them: the core must survive all of them, and what it
// accepts must be within its bounds.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "stack/answers.hpp"
#include "stack/channel.hpp"
#include "stack/segments.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto body = loopwatch::decode_body(data, size);
    if (!body) return 0;
    loopwatch::KnownTexts known;
    if (const auto frames = loopwatch::decode_frames(*body, known))
        for (const auto& frame : *frames)
            if (frame.function.size() > 3 * loopwatch::max_text_bytes || !loopwatch::is_build_id(frame.build_id))
                std::abort();
    if (const auto scan = loopwatch::decode_scan(body->value("scan", nlohmann::json())))
        if (scan->sites.size() > loopwatch::max_sites) std::abort();
    return 0;
}
