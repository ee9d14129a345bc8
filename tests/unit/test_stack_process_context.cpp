// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <map>
#include <random>
#include <string>

#include "stack/process_context.hpp"
#include "stack/symbol_worker.hpp"

using namespace loopwatch;

namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const std::string& text)
{
    Bytes bytes;
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
    return bytes;
}

std::string varint(std::uint64_t value)
{
    std::string text;
    for (; value >= 0x80; value >>= 7) text += static_cast<char>(value | 0x80);
    return text + static_cast<char>(value);
}

// A field with a length, which is what texts and messages are.
std::string field(unsigned number, const std::string& content)
{
    return varint(number << 3 | 2) + varint(content.size()) + content;
}

std::string attribute(const std::string& key, const std::string& value)
{
    return field(1, field(1, key) + field(2, field(1, value)));
}

std::string context_of(const std::string& attributes)
{
    return field(1, attributes);
}

template <class Number>
void append(Bytes& bytes, Number number)
{
    const auto at = bytes.size();
    bytes.resize(at + sizeof number);
    std::memcpy(bytes.data() + at, &number, sizeof number);
}

Bytes header(std::uint32_t version, std::uint32_t size, std::uint64_t published, std::uint64_t payload)
{
    auto bytes = bytes_of("OTEL_CTX");
    append(bytes, version);
    append(bytes, size);
    append(bytes, published);
    append(bytes, payload);
    return bytes;
}

// A process's memory.
struct FakeMemory {
    std::map<std::uint64_t, Bytes> blocks;
    int reads = 0;
    std::function<void()> before_read;

    ReadMemory reader()
    {
        return [this](std::uint64_t address, std::span<std::byte> to) {
            ++reads;
            if (before_read) before_read();
            const auto block = blocks.find(address);
            if (block == blocks.end() || block->second.size() < to.size()) return false;
            std::copy_n(block->second.begin(), to.size(), to.begin());
            return true;
        };
    }
};

}  // namespace

TEST_CASE("a context's mapping is known by its three names, and by no others")
{
    const auto maps =
        "55a0b0000000-55a0b0021000 r--p 00000000 fd:01 1234                       /usr/bin/x\n"
        "7f3c1a2b4000-7f3c1a2b5000 rw-p 00000000 00:01 12345                      /memfd:OTEL_CTX (deleted)\n"
        "7f3c1a2b6000-7f3c1a2b7000 rw-p 00000000 00:00 0                          [anon_shmem:OTEL_CTX]\n"
        "55d0dead0000-55d0dead1000 rw-p 00000000 00:00 0 [anon:OTEL_CTX]\n"
        "55d0dead2000-55d0dead3000 rw-p 00000000 00:00 0 [anon:OTEL_CTX_X]\n"
        "55d0dead4000-55d0dead5000 rw-p 00000000 00:00 0 /tmp/memfd:OTEL_CTX\n"
        "garbage\n\n";
    CHECK(context_mappings(maps) == std::vector<std::uint64_t>{0x7f3c1a2b4000, 0x7f3c1a2b6000, 0x55d0dead0000});
    std::string many;
    for (int i = 0; i < 100; ++i) many += "1000-2000 rw-p 0 00:00 0 [anon:OTEL_CTX]\n";
    CHECK(context_mappings(many).size() == 4);
}

TEST_CASE("a header is taken only with its signature, version, size and address")
{
    const ContextHeader expected{17, 4711, 0x7000};
    CHECK(parse_context_header(header(2, 17, 4711, 0x7000)) == expected);
    CHECK_FALSE(parse_context_header(header(1, 17, 4711, 0x7000)));
    CHECK_FALSE(parse_context_header(header(3, 17, 4711, 0x7000)));
    CHECK_FALSE(parse_context_header(header(2, 0, 4711, 0x7000)));
    CHECK_FALSE(parse_context_header(header(2, 65'537, 4711, 0x7000)));
    CHECK_FALSE(parse_context_header(header(2, 17, 4711, 0)));
    auto wrong = header(2, 17, 4711, 0x7000);
    wrong[7] = std::byte{0};
    CHECK_FALSE(parse_context_header(wrong));
    CHECK_FALSE(parse_context_header(std::span(wrong).first(31)));
    CHECK_FALSE(parse_context_header({}));
}

TEST_CASE("the texts among a resource's attributes are read")
{
    const std::string number = field(1, field(1, "process.pid") + field(2, varint(3 << 3) + varint(7)));
    const auto context = context_of(attribute("service.name", "orders") + number + attribute("service.version", "1.2") +
                                    varint(2 << 3) + varint(0)) +
                         field(2, field(1, "extra") + field(2, field(1, "x")));
    const auto attributes = parse_process_context(bytes_of(context));
    REQUIRE(attributes);
    CHECK(*attributes == std::vector<ContextAttribute>{{"service.name", "orders"}, {"service.version", "1.2"}});
    CHECK(context_attribute(*attributes, "service.version") == "1.2");
    CHECK(context_attribute(*attributes, "service.instance.id").empty());
    CHECK(parse_process_context({})->empty());
}

TEST_CASE("forged contexts yield nothing, or what is within the limits")
{
    const std::string forged[] = {
        "\x0a",                                                               // a length that is missing
        std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11),      // one of 2^64 - 1
        std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12),  // one without an end
        "\x0b",                                                               // a group
        std::string("\x00\x01", 2),                                           // field 0
        context_of("\x0a\x7f"),                      // an attribute that is longer than its resource
        context_of(field(1, "\x0a\x7f")),            // a key that is longer than its attribute
        context_of(field(1, field(2, "\x0a\x7f"))),  // a value that is
        "\x09\x01",                                  // a fixed number that is cut
    };
    for (const auto& payload : forged) CHECK_FALSE(parse_process_context(bytes_of(payload)));

    std::string many;
    for (int i = 0; i < 1000; ++i) many += attribute("k" + std::to_string(i), "v");
    CHECK(parse_process_context(bytes_of(context_of(many)))->size() == 128);
    const auto long_ones = context_of(attribute("k", std::string(257, 'x')) + attribute(std::string(257, 'k'), "v") +
                                      attribute("", "v") + attribute("k", std::string(256, 'x')));
    CHECK(parse_process_context(bytes_of(long_ones))->size() == 1);
    // Each of these bytes becomes three.
    CHECK(parse_process_context(bytes_of(context_of(attribute("k", std::string(200, '\xff')))))->empty());
    CHECK(parse_process_context(bytes_of(context_of(attribute("k", "\xff"))))->front().value == "\xef\xbf\xbd");
    const auto twice = parse_process_context(bytes_of(context_of(attribute("k", "1") + attribute("k", "2"))));
    CHECK(context_attribute(*twice, "k") == "1");
}

TEST_CASE("any bytes are parsed without harm")
{
    std::mt19937 random(4711);
    const auto honest = context_of(attribute("service.name", "orders") + attribute("service.version", "1.2"));
    for (int i = 0; i < 20'000; ++i) {
        auto payload = honest;
        for (int change = 0; change < 3; ++change) payload[random() % payload.size()] = static_cast<char>(random());
        payload.resize(random() % (payload.size() + 1));
        const auto attributes = parse_process_context(bytes_of(payload));
        CHECK((!attributes || attributes->size() <= 2));
    }
}

TEST_CASE("a context is read from its process's memory")
{
    const auto payload = bytes_of(context_of(attribute("service.name", "orders")));
    const auto size = static_cast<std::uint32_t>(payload.size());
    FakeMemory memory;
    memory.blocks[0x1000] = header(2, size, 99, 0x7000);
    memory.blocks[0x7000] = payload;
    const auto context = read_context_payload(0x1000, memory.reader());
    REQUIRE(context);
    CHECK(context->published_ns == 99);
    CHECK(context->bytes == payload);
    CHECK_FALSE(read_context_payload(0x2000, memory.reader()));
    memory.blocks.erase(0x7000);
    CHECK_FALSE(read_context_payload(0x1000, memory.reader()));
}

TEST_CASE("what changes while it is read is read again, three times at most")
{
    const auto payload = bytes_of(context_of(attribute("service.name", "orders")));
    const auto size = static_cast<std::uint32_t>(payload.size());
    FakeMemory memory;
    memory.blocks[0x7000] = payload;
    memory.blocks[0x1000] = header(2, size, 1, 0x7000);
    memory.before_read = [&] {
        if (memory.reads == 2) memory.blocks[0x1000] = header(2, size, 2, 0x7000);
    };
    const auto context = read_context_payload(0x1000, memory.reader());
    REQUIRE(context);
    CHECK(context->published_ns == 2);

    memory.reads = 0;
    memory.before_read = [&] {
        memory.blocks[0x1000] = header(2, size, static_cast<std::uint64_t>(memory.reads), 0x7000);
    };
    CHECK_FALSE(read_context_payload(0x1000, memory.reader()));
    CHECK(memory.reads == 9);

    memory.before_read = nullptr;
    memory.reads = 0;
    memory.blocks[0x1000] = header(2, size, 0, 0x7000);  // for ever being written
    CHECK_FALSE(read_context_payload(0x1000, memory.reader()));
    CHECK(memory.reads == 3);
}

TEST_CASE("the worker parses what processes publish, and a broken one is empty")
{
    auto worker = SymbolWorker::start();
    REQUIRE(worker);
    std::vector<std::vector<ContextAttribute>> answers;
    const auto ask = [&](const std::string& payload) {
        (*worker)->parse_context(1, bytes_of(payload),
                                 [&](std::vector<ContextAttribute> parsed) { answers.push_back(std::move(parsed)); });
    };
    ask(context_of(attribute("service.name", "orders") + attribute("service.version", "")));
    ask("\x0a");
    ask("");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while ((*worker)->pending() > 0 && std::chrono::steady_clock::now() < end) {
        pollfd ready = {(*worker)->descriptor(), POLLIN, 0};
        ::poll(&ready, 1, 100);
        (*worker)->poll();
    }
    REQUIRE(answers.size() == 3);
    CHECK(answers[0] == std::vector<ContextAttribute>{{"service.name", "orders"}, {"service.version", ""}});
    CHECK(answers[1].empty());
    CHECK(answers[2].empty());
    CHECK((*worker)->failures() == 0);
}
