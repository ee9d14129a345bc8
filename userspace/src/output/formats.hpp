// SPDX-License-Identifier: Apache-2.0
//
// The formats of --format: one row each, with what makes its encoder.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "output/encoder.hpp"

namespace loopwatch {

// What an encoder may want to know of its output and of the session.
struct EncoderOptions {
    bool colours = false;
    bool quiet = false;     // findings only
    bool gated = false;     // they decide on something
    bool interned = false;  // ndjson: each stack is written once
};

// Name, and what makes the encoder: std::unique_ptr<Encoder>(const EncoderOptions&).
#define LW_FORMATS(X)        \
    X("text", make_text)     \
    X("ndjson", make_ndjson) \
    X("chrome", make_chrome)

#define LW_FORMAT(name, make) std::unique_ptr<Encoder> make(const EncoderOptions& options);
LW_FORMATS(LW_FORMAT)
#undef LW_FORMAT

// Null: there is none of this name.
std::unique_ptr<Encoder> make_encoder(std::string_view format, const EncoderOptions& options);
// "text|ndjson|chrome", with this between them.
std::string format_names(std::string_view between);

}  // namespace loopwatch
