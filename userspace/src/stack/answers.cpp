// SPDX-License-Identifier: Apache-2.0
#include "stack/answers.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "stack/segments.hpp"
#include "util/text.hpp"

namespace loopwatch {
namespace {

using nlohmann::json;

enum Flags : unsigned { flag_inlined = 1, flag_truncated = 2 };
constexpr std::size_t max_warnings = 256;

bool texts(const json& array, std::initializer_list<std::size_t> at)
{
    for (const std::size_t i : at)
        if (!array[i].is_string()) return false;
    return true;
}

std::string text_at(const json& array, std::size_t i)
{
    return clean_text(array[i].get_ref<const std::string&>());
}

bool unsigned_at(const json& object, const char* key)
{
    return object.contains(key) && object[key].is_number_unsigned();
}

}  // namespace

std::string clean_text(std::string_view text)
{
    return sanitize_utf8(text.substr(0, max_text_bytes));
}

bool is_build_id(const std::string& text)
{
    return text.size() <= 128 && text.size() % 2 == 0 &&
           text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void encode_frames(const std::vector<Frame>& frames, SentTexts& sent, json& answer)
{
    json list = json::array();
    sent.begin_answer();
    for (const Frame& frame : frames) {
        const unsigned flags = (frame.inlined ? flag_inlined : 0u) | (frame.truncated ? flag_truncated : 0u);
        list.push_back({sent.number_of(clean_text(frame.function)), sent.number_of(frame.module),
                        sent.number_of(frame.build_id), sent.number_of(clean_text(frame.file)), frame.offset,
                        frame.line, flags, frame.cfa, sent.number_of(clean_text(frame.called))});
        if (list.size() == max_answer_frames) break;
    }
    answer["texts_from"] = sent.first();
    answer["texts"] = sent.fresh();
    answer["frames"] = std::move(list);
}

std::optional<std::vector<Frame>> decode_frames(const json& answer, KnownTexts& known)
{
    const json from = answer.value("texts_from", json()), texts = answer.value("texts", json());
    const json list = answer.value("frames", json());
    if (!from.is_number_unsigned() || !texts.is_array() || texts.size() > max_answer_frames * 5) return std::nullopt;
    if (!list.is_array() || list.empty() || list.size() > max_answer_frames) return std::nullopt;
    std::vector<std::string> fresh;
    for (const json& text : texts) {
        if (!text.is_string()) return std::nullopt;
        fresh.push_back(clean_text(text.get_ref<const std::string&>()));
    }
    if (!known.learn(from.get<std::uint64_t>(), std::move(fresh))) return std::nullopt;
    std::vector<Frame> frames;
    frames.reserve(list.size());
    for (const json& item : list) {
        if (!item.is_array() || item.size() != 9) return std::nullopt;
        std::uint64_t values[9];
        for (std::size_t i = 0; i < std::size(values); ++i) {
            if (!item[i].is_number_unsigned()) return std::nullopt;
            values[i] = item[i].get<std::uint64_t>();
        }
        const auto *function = known.find(values[0]), *module = known.find(values[1]),
                   *build_id = known.find(values[2]), *file = known.find(values[3]), *called = known.find(values[8]);
        if (!function || !module || !build_id || !file || !called || !is_build_id(*build_id)) return std::nullopt;
        Frame frame;
        frame.function = *function;
        frame.module = *module;
        frame.build_id = *build_id;
        frame.file = *file;
        frame.offset = values[4];
        frame.line = static_cast<std::uint32_t>(std::min<std::uint64_t>(values[5], INT32_MAX));
        frame.inlined = (values[6] & flag_inlined) != 0;
        frame.truncated = (values[6] & flag_truncated) != 0;
        frame.cfa = values[7];
        frame.called = *called;
        frames.push_back(std::move(frame));
    }
    return frames;
}

json encode_scan(const ModuleScan& scan)
{
    json sites = json::array(), warnings = json::array(), coroutines = json::array();
    for (const ProbeSite& site : scan.sites)
        sites.push_back({site.name, site.offset, site.semaphore_offset, site.arguments});
    for (const auto& body : scan.coroutines) coroutines.push_back(body.offset);
    for (const std::string& warning : scan.warnings) warnings.push_back(clean_text(warning));
    return {{"sites", sites},
            {"registry_vaddr", scan.registry_vaddr},
            {"registry_abi", scan.registry_abi},
            {"exec_vaddr", scan.exec_vaddr},
            {"exec_offset", scan.exec_offset},
            {"throws", scan.throws},
            {"build_id", scan.build_id},
            {"warnings", warnings},
            {"coroutines", coroutines},
            {"is_static", scan.is_static},
            {"is_go", scan.is_go}};
}

std::optional<ModuleScan> decode_scan(const json& object)
{
    if (!object.is_object()) return std::nullopt;
    for (const char* number : {"registry_vaddr", "registry_abi", "exec_vaddr", "exec_offset", "throws"})
        if (!unsigned_at(object, number)) return std::nullopt;
    const json sites = object.value("sites", json()), warnings = object.value("warnings", json());
    const json build_id = object.value("build_id", json()), is_static = object.value("is_static", json());
    const json is_go = object.value("is_go", json());
    if (!sites.is_array() || sites.size() > max_sites || !warnings.is_array() || warnings.size() > max_warnings)
        return std::nullopt;
    const json coroutines = object.value("coroutines", json());
    if (!coroutines.is_array() || coroutines.size() > max_coroutines) return std::nullopt;
    if (!build_id.is_string() || !is_build_id(build_id.get_ref<const std::string&>()) || !is_static.is_boolean() ||
        !is_go.is_boolean())
        return std::nullopt;
    ModuleScan scan;
    for (const json& site : sites) {
        if (!site.is_array() || site.size() != 4 || !texts(site, {0, 3})) return std::nullopt;
        if (!site[1].is_number_unsigned() || !site[2].is_number_unsigned()) return std::nullopt;
        scan.sites.push_back(
            {text_at(site, 0), site[1].get<std::uint64_t>(), site[2].get<std::uint64_t>(), text_at(site, 3)});
    }
    for (const json& offset : coroutines) {
        if (!offset.is_number_unsigned()) return std::nullopt;
        scan.coroutines.push_back({offset.get<std::uint64_t>(), {}});
    }
    for (const json& warning : warnings) {
        if (!warning.is_string()) return std::nullopt;
        scan.warnings.push_back(clean_text(warning.get_ref<const std::string&>()));
    }
    scan.registry_vaddr = object["registry_vaddr"].get<std::uint64_t>();
    scan.registry_abi = object["registry_abi"].get<std::uint32_t>();
    scan.exec_vaddr = object["exec_vaddr"].get<std::uint64_t>();
    scan.exec_offset = object["exec_offset"].get<std::uint64_t>();
    scan.throws = object["throws"].get<std::uint64_t>();
    scan.build_id = build_id.get<std::string>();
    scan.is_static = is_static.get<bool>();
    scan.is_go = is_go.get<bool>();
    return scan;
}

}  // namespace loopwatch
