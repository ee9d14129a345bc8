// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <cstddef>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <loopwatch/loop_state.h>
#include <loopwatch/probe.hpp>

namespace loopwatch::preload {
namespace {

// Appends to a text of fixed size; what does not fit is cut, the terminator always fits.
class Text {
public:
    template <std::size_t n>
    explicit Text(char (&to)[n]) : at_(to), end_(to + n - 1) { *at_ = '\0'; }

    void add(char c)
    {
        if (at_ == end_) return;
        *at_++ = c;
        *at_ = '\0';
    }

    void add(const char* text, std::size_t limit)
    {
        for (; limit > 0 && *text != '\0' && at_ != end_; ++text, --limit) add(*text);
    }

    void add(unsigned value, unsigned base)
    {
        if (value >= base) add(value / base, base);
        add("0123456789abcdef"[value % base]);
    }

private:
    char* at_;
    char* end_;
};

// Addresses are copied out: the caller's may lie at any alignment. inet_ntop is stdio inside, hence no "::" for zeros here.
void add_ipv4(Text& text, const sockaddr* peer)
{
    sockaddr_in address;
    std::memcpy(&address, peer, sizeof address);
    unsigned char bytes[4];
    std::memcpy(bytes, &address.sin_addr, sizeof bytes);
    for (unsigned i = 0; i < 4; ++i) {
        if (i != 0) text.add('.');
        text.add(bytes[i], 10);
    }
    text.add(':');
    text.add(ntohs(address.sin_port), 10);
}

void add_ipv6(Text& text, const sockaddr* peer)
{
    sockaddr_in6 address;
    std::memcpy(&address, peer, sizeof address);
    const unsigned char* bytes = address.sin6_addr.s6_addr;
    text.add('[');
    for (unsigned i = 0; i < 16; i += 2) {
        if (i != 0) text.add(':');
        text.add(bytes[i] * 256u + bytes[i + 1], 16);
    }
    text.add(']');
    text.add(':');
    text.add(ntohs(address.sin6_port), 10);
}

void add_peer(Text& text, const sockaddr* peer, std::size_t bytes)
{
    sa_family_t family;
    if (bytes < sizeof family) return;
    std::memcpy(&family, peer, sizeof family);
    if (family == AF_INET && bytes >= sizeof(sockaddr_in)) add_ipv4(text, peer);
    if (family == AF_INET6 && bytes >= sizeof(sockaddr_in6)) add_ipv6(text, peer);
    constexpr std::size_t path_at = offsetof(sockaddr_un, sun_path);
    if (family != AF_UNIX || bytes <= path_at) return;
    const char* path = reinterpret_cast<const char*>(peer) + path_at;
    const std::size_t length = bytes - path_at;
    if (*path != '\0') return text.add(path, length);
    text.add('@');  // abstract; the convention of ss and /proc/net/unix
    text.add(path + 1, length - 1);
}

}  // namespace

void report(const char* call, const void* caller, CallTimes times, const CallDetail& detail)
{
    lw_call_detail told = {};
    told.size = sizeof told;
    told.fd = detail.fd;
    told.caller = reinterpret_cast<std::uint64_t>(caller);
    told.arg = detail.arg;
    Text text(told.text);
    if (detail.text != nullptr) text.add(detail.text, sizeof told.text);
    if (detail.peer != nullptr) add_peer(text, detail.peer, detail.peer_bytes);
    probe::blocking_call(call, times.start_ns, times.end_ns, &told);
}

}  // namespace loopwatch::preload
