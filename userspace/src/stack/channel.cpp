// SPDX-License-Identifier: Apache-2.0
#include "stack/channel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "stack/descriptor_message.hpp"

namespace loopwatch {
namespace {

struct Header {
    std::uint32_t magic = 0, body_bytes = 0, raw_bytes = 0, files = 0;
};
constexpr std::uint32_t header_magic = 0x6c77'6d31;
constexpr std::size_t read_bytes = 128 * 1024;
constexpr std::size_t max_waiting_files = 64;
constexpr int reads_at_once = 64;             // 8 MiB: whoever sends without end does not hold the other up
constexpr std::size_t max_values = 1u << 20;  // of one message: 8 MiB of empty texts would take half a GiB

// nlohmann's readers recurse with the input's nesting, and allocate for each value: this one measures both, and stops
// before the stack or the memory does.
struct SizeCheck : nlohmann::json_sax<nlohmann::json> {
    int depth = 0;
    std::size_t values = 0;
    bool count() { return ++values <= max_values; }
    bool enter() { return ++depth <= 8 && count(); }
    bool null() override { return count(); }
    bool boolean(bool) override { return count(); }
    bool number_integer(std::int64_t) override { return count(); }
    bool number_unsigned(std::uint64_t) override { return count(); }
    bool number_float(double, const std::string&) override { return count(); }
    bool string(std::string&) override { return count(); }
    bool binary(nlohmann::json::binary_t&) override { return count(); }
    bool start_object(std::size_t) override { return enter(); }
    bool key(std::string&) override { return count(); }
    bool end_object() override { return --depth >= 0; }
    bool start_array(std::size_t) override { return enter(); }
    bool end_array() override { return --depth >= 0; }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }
};

}  // namespace

// MessagePack and not CBOR: CBOR's chunked strings nest without any callback that could stop them.
std::optional<nlohmann::json> decode_body(const std::uint8_t* bytes, std::size_t size)
{
    SizeCheck check;
    if (!nlohmann::json::sax_parse(bytes, bytes + size, &check, nlohmann::json::input_format_t::msgpack))
        return std::nullopt;
    auto body = nlohmann::json::from_msgpack(bytes, bytes + size, true, false);
    if (!body.is_object()) return std::nullopt;
    return body;
}

Channel::Channel(Fd socket, bool accept_files)
    : socket_(std::move(socket)), accept_files_(accept_files), buffer_(new std::uint8_t[read_bytes])
{
}

void Channel::send(Message message)
{
    Packet packet;
    packet.bytes.resize(sizeof(Header));
    nlohmann::json::to_msgpack(message.body, packet.bytes);
    const Header header{header_magic, static_cast<std::uint32_t>(packet.bytes.size() - sizeof(Header)),
                        static_cast<std::uint32_t>(message.raw.size()), message.file ? 1u : 0u};
    std::memcpy(packet.bytes.data(), &header, sizeof header);
    packet.bytes.insert(packet.bytes.end(), message.raw.begin(), message.raw.end());
    packet.file = std::move(message.file);
    unsent_bytes_ += packet.bytes.size();
    unsent_.push_back(std::move(packet));
}

Channel::State Channel::flush()
{
    while (!unsent_.empty()) {
        Packet& packet = unsent_.front();
        const auto unsent = std::span(packet.bytes).subspan(packet.sent);
        const ssize_t sent = send_message(socket_.raw(), unsent, packet.file ? packet.file.raw() : -1);
        if (sent < 0 && errno == EINTR) continue;
        // ETOOMANYREFS: too many descriptors in flight; they drain like bytes do.
        if (sent < 0) return errno == EAGAIN || errno == ETOOMANYREFS ? State::open : State::closed;
        packet.file.reset();
        packet.sent += static_cast<std::size_t>(sent);
        unsent_bytes_ -= static_cast<std::size_t>(sent);
        if (packet.sent == packet.bytes.size()) unsent_.pop_front();
    }
    return State::open;
}

Channel::State Channel::receive()
{
    const auto take = [this](Fd file) {
        if (accept_files_ && files_.size() < max_waiting_files) files_.push_back(std::move(file));
    };
    for (int reads = 0; reads < reads_at_once; ++reads) {
        const ssize_t got = receive_message(socket_.raw(), {buffer_.get(), read_bytes}, MSG_DONTWAIT, take);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno == EAGAIN ? State::open : State::closed;
        in_.insert(in_.end(), buffer_.get(), buffer_.get() + got);
        if (got == 0 || parse() == State::closed) return State::closed;
    }
    return State::open;
}

Channel::State Channel::parse()
{
    std::size_t at = 0;
    while (in_.size() - at >= sizeof(Header)) {
        Header header;
        std::memcpy(&header, in_.data() + at, sizeof header);
        if (header.magic != header_magic || header.body_bytes > max_body_bytes || header.raw_bytes > max_raw_bytes ||
            header.files > (accept_files_ ? 1u : 0u))
            return State::closed;
        const std::size_t size = sizeof header + header.body_bytes + header.raw_bytes;
        if (in_.size() - at < size) break;
        const std::uint8_t* body = in_.data() + at + sizeof header;
        auto decoded = decode_body(body, header.body_bytes);
        if (!decoded || files_.size() < header.files) return State::closed;
        const std::uint8_t* raw = body + header.body_bytes;
        Message message{std::move(*decoded), {raw, raw + header.raw_bytes}, {}};
        if (header.files == 1) {
            message.file = std::move(files_.front());
            files_.pop_front();
        }
        messages_.push_back(std::move(message));
        at += size;
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at));
    return State::open;
}

std::optional<Message> Channel::next()
{
    if (messages_.empty()) return std::nullopt;
    std::optional<Message> first(std::move(messages_.front()));
    messages_.pop_front();
    return first;
}

}  // namespace loopwatch
