// SPDX-License-Identifier: Apache-2.0
#include "stack/process_context.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "util/text.hpp"

namespace loopwatch {

namespace {

constexpr std::string_view context_signature = "OTEL_CTX";
constexpr std::uint32_t context_version = 2;
constexpr std::uint32_t most_payload_bytes = 65'536;
constexpr std::size_t most_mappings = 4;
constexpr int most_readings = 3;

template <class Number>
Number number_at(std::span<const std::byte> bytes, std::size_t offset)
{
    Number number = 0;
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

// One field of a protobuf message.
struct ProtoField {
    std::uint64_t number = 0;
    bool has_bytes = false;  // else a number, which nothing here needs
    std::span<const std::byte> bytes;
};

// The fields of a message in turn. A message that is nested in it is read by another one, from its bytes.
class ProtoReader {
public:
    explicit ProtoReader(std::span<const std::byte> bytes) : rest_(bytes) {}

    // None: the message has ended, or is broken().
    std::optional<ProtoField> next()
    {
        if (rest_.empty() || broken_) return std::nullopt;
        const auto tag = varint();
        ProtoField field{tag >> 3, false, {}};
        switch (tag & 7) {
            case 0: varint(); break;
            case 1: take(8); break;
            case 2:
                field.has_bytes = true;
                field.bytes = take(varint());
                break;
            case 5: take(4); break;
            default: broken_ = true;  // groups are not in proto3
        }
        if (field.number == 0) broken_ = true;
        return broken_ ? std::nullopt : std::optional(field);
    }
    bool broken() const { return broken_; }

private:
    std::span<const std::byte> take(std::uint64_t size)
    {
        if (size > rest_.size()) {
            broken_ = true;
            return {};
        }
        const auto taken = rest_.first(static_cast<std::size_t>(size));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    std::uint64_t varint()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = take(1);
            if (byte.empty()) return 0;
            const auto bits = std::to_integer<std::uint64_t>(byte.front());
            value |= (bits & 0x7f) << shift;
            if ((bits & 0x80) == 0) return value;
        }
        broken_ = true;
        return 0;
    }

    std::span<const std::byte> rest_;
    bool broken_ = false;
};

// A text that is cut would be another one: what is too long is left out. Copied byte by byte, as bytes are no chars.
std::optional<std::string> short_text(std::span<const std::byte> bytes)
{
    if (bytes.size() > longest_context_text) return std::nullopt;
    std::string text(bytes.size(), '\0');
    std::ranges::transform(bytes, text.begin(), [](std::byte byte) { return std::to_integer<char>(byte); });
    text = sanitize_utf8(text);
    return text.size() <= longest_context_text ? std::optional(std::move(text)) : std::nullopt;
}

// AnyValue { string string_value = 1; … }. None: it is broken. An empty optional: it is no text.
std::optional<std::optional<std::string>> parse_value(std::span<const std::byte> message)
{
    std::optional<std::string> text;
    ProtoReader value(message);
    while (const auto field = value.next())
        if (field->number == 1 && field->has_bytes) text = short_text(field->bytes);
    if (value.broken()) return std::nullopt;
    return text;
}

// KeyValue { string key = 1; AnyValue value = 2; }. False: it is broken.
bool parse_attribute(std::span<const std::byte> message, std::vector<ContextAttribute>& attributes)
{
    std::optional<std::string> key, value;
    ProtoReader pair(message);
    while (const auto field = pair.next()) {
        if (!field->has_bytes) continue;
        if (field->number == 1) key = short_text(field->bytes);
        if (field->number != 2) continue;
        auto parsed = parse_value(field->bytes);
        if (!parsed) return false;
        value = std::move(*parsed);
    }
    if (pair.broken()) return false;
    if (key && value && !key->empty() && attributes.size() < most_context_attributes)
        attributes.push_back({std::move(*key), std::move(*value)});
    return true;
}

// Resource { repeated KeyValue attributes = 1; … }
bool parse_resource(std::span<const std::byte> message, std::vector<ContextAttribute>& attributes)
{
    ProtoReader resource(message);
    while (const auto field = resource.next())
        if (field->number == 1 && field->has_bytes && !parse_attribute(field->bytes, attributes)) return false;
    return !resource.broken();
}

}  // namespace

std::string_view context_attribute(const std::vector<ContextAttribute>& attributes, std::string_view key)
{
    const auto found = std::ranges::find(attributes, key, &ContextAttribute::key);
    return found == attributes.end() ? std::string_view() : std::string_view(found->value);
}

bool is_context_mapping(std::string_view name)
{
    constexpr std::string_view deleted = " (deleted)";
    if (name.ends_with(deleted)) name.remove_suffix(deleted.size());
    return name == "[anon_shmem:OTEL_CTX]" || name == "[anon:OTEL_CTX]" || name == "/memfd:OTEL_CTX";
}

std::vector<std::uint64_t> context_mappings(std::string_view maps)
{
    std::vector<std::uint64_t> found;
    while (!maps.empty() && found.size() < most_mappings) {
        const auto line = maps.substr(0, maps.find('\n'));
        maps.remove_prefix(std::min(line.size() + 1, maps.size()));
        // "start-end flags offset device inode   name": the name is the sixth field, and may hold spaces.
        auto name = line;
        for (int field = 0; field < 5; ++field) {
            name.remove_prefix(std::min(name.find(' '), name.size()));
            name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
        }
        std::uint64_t start = 0;
        if (is_context_mapping(name) &&
            std::from_chars(line.data(), line.data() + line.size(), start, 16).ec == std::errc())
            found.push_back(start);
    }
    return found;
}

std::optional<ContextHeader> parse_context_header(std::span<const std::byte> bytes)
{
    if (bytes.size() < ContextHeader::bytes) return std::nullopt;
    if (std::memcmp(bytes.data(), context_signature.data(), context_signature.size()) != 0) return std::nullopt;
    if (number_at<std::uint32_t>(bytes, 8) != context_version) return std::nullopt;
    const ContextHeader header{number_at<std::uint32_t>(bytes, 12), number_at<std::uint64_t>(bytes, 16),
                               number_at<std::uint64_t>(bytes, 24)};
    if (header.payload_bytes == 0 || header.payload_bytes > most_payload_bytes || header.payload_address == 0)
        return std::nullopt;
    return header;
}

// ProcessContext { Resource resource = 1; repeated KeyValue attributes = 2; }: the latter are for profilers.
std::optional<std::vector<ContextAttribute>> parse_process_context(std::span<const std::byte> payload)
{
    std::vector<ContextAttribute> attributes;
    ProtoReader context(payload.first(std::min<std::size_t>(payload.size(), most_payload_bytes)));
    while (const auto field = context.next())
        if (field->number == 1 && field->has_bytes && !parse_resource(field->bytes, attributes)) return std::nullopt;
    if (context.broken()) return std::nullopt;
    return attributes;
}

std::optional<ContextPayload> read_context_payload(std::uint64_t address, const ReadMemory& read)
{
    const auto read_header = [&]() -> std::optional<ContextHeader> {
        std::array<std::byte, ContextHeader::bytes> bytes = {};
        return read(address, bytes) ? parse_context_header(bytes) : std::nullopt;
    };
    for (int reading = 0; reading < most_readings; ++reading) {
        const auto header = read_header();
        if (!header) return std::nullopt;
        if (header->published_ns == 0) continue;
        std::vector<std::byte> payload(header->payload_bytes);
        const bool whole = read(header->payload_address, payload);
        if (read_header() != header) continue;
        return whole ? std::optional(ContextPayload{header->published_ns, std::move(payload)}) : std::nullopt;
    }
    return std::nullopt;
}

}  // namespace loopwatch
