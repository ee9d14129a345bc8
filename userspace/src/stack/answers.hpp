// SPDX-License-Identifier: Apache-2.0
//
// The worker's answers on the wire. Decoding is the core's defence: the worker has read hostile files, so that counts,
// lengths, types and text are checked as if the target itself had sent them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stack/symbol_worker.hpp"
#include "stack/texts.hpp"

namespace loopwatch {

inline constexpr std::size_t max_text_bytes = 4096;
inline constexpr std::size_t max_answer_frames = 1024;  // real ones and inlined ones

// Puts them, and the texts that the other end does not know yet, into an answer.
void encode_frames(const std::vector<Frame>& frames, SentTexts& sent, nlohmann::json& answer);
std::optional<std::vector<Frame>> decode_frames(const nlohmann::json& answer, KnownTexts& known);

nlohmann::json encode_scan(const ModuleScan& scan);
std::optional<ModuleScan> decode_scan(const nlohmann::json& json);

// Valid UTF-8, made of at most max_text_bytes.
std::string clean_text(std::string_view text);

// Hex digits only, at most 128 of them; what is used in a path or as a key.
bool is_build_id(const std::string& text);

}  // namespace loopwatch
