// SPDX-License-Identifier: Apache-2.0
//
// Channel: messages between the core and the symbol worker over a stream socket: a small JSON body (MessagePack), raw
// bytes beside it (a stack) and at most one descriptor. The peer's bytes are not trusted: sizes, depth and types are
// checked before use.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "util/fd.hpp"

namespace loopwatch {

struct Message {
    nlohmann::json body;
    std::vector<std::uint8_t> raw;
    Fd file;
};

// What a hostile sender could make the receiver hold.
inline constexpr std::uint32_t max_body_bytes = 8u << 20;
inline constexpr std::uint32_t max_raw_bytes = 1u << 20;

// nullopt unless `bytes` are one MessagePack object nested at most 8 deep.
std::optional<nlohmann::json> decode_body(const std::uint8_t* bytes, std::size_t size);

class Channel {
public:
    enum class State { open, closed };

    // accept_files: the side that does not expect descriptors closes any it is sent.
    Channel(Fd socket, bool accept_files);

    // Never blocks: what the socket does not take waits for flush().
    void send(Message message);
    State flush();
    std::size_t unsent_bytes() const { return unsent_bytes_; }

    // Reads what has arrived, without blocking. closed: the peer is gone or does not keep to the protocol.
    State receive();
    std::optional<Message> next();

    int descriptor() const { return socket_.raw(); }

private:
    struct Packet {
        std::vector<std::uint8_t> bytes;
        std::size_t sent = 0;
        Fd file;
    };
    State parse();

    Fd socket_;
    bool accept_files_;
    std::deque<Packet> unsent_;
    std::size_t unsent_bytes_ = 0;
    std::unique_ptr<std::uint8_t[]> buffer_;
    std::vector<std::uint8_t> in_;
    std::deque<Fd> files_;
    std::deque<Message> messages_;
};

}  // namespace loopwatch
