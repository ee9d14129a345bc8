// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <cstddef>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <loopwatch/loop_state.h>
#include <loopwatch/probe.hpp>

#include "ring.hpp"
#include "shim_state.hpp"
#include "text.hpp"

namespace loopwatch::preload {
namespace {

// inet_ntop is stdio inside, hence no "::" for zeros here.
void add_ipv4(Text& text, const sockaddr_in& peer)
{
    unsigned char bytes[4];
    std::memcpy(bytes, &peer.sin_addr, sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; ++i) {
        if (i != 0) text.add('.');
        text.add(bytes[i], 10);
    }
    text.add(':');
    text.add(ntohs(peer.sin_port), 10);
}

void add_ipv6(Text& text, const sockaddr_in6& peer)
{
    const unsigned char* bytes = peer.sin6_addr.s6_addr;
    text.add('[');
    for (unsigned i = 0; i < 16; i += 2) {
        if (i != 0) text.add(':');
        text.add(bytes[i] * 256u + bytes[i + 1], 16);
    }
    text.add(']');
    text.add(':');
    text.add(ntohs(peer.sin6_port), 10);
}

void add_unix(Text& text, const char* path, std::size_t bytes)
{
    if (bytes == 0 || !is_readable(path, 1)) return;
    if (*path != '\0') return text.add(path, bytes);
    text.add('@');  // abstract; the convention of ss and /proc/net/unix
    text.add(path + 1, bytes - 1);
}

void add_peer(Text& text, const sockaddr* peer, std::size_t bytes)
{
    sa_family_t family;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
    constexpr std::size_t path_at = offsetof(sockaddr_un, sun_path);
    if (bytes < sizeof family || !copy_out(family, peer)) return;
    if (family == AF_INET && bytes >= sizeof ipv4 && copy_out(ipv4, peer)) add_ipv4(text, ipv4);
    if (family == AF_INET6 && bytes >= sizeof ipv6 && copy_out(ipv6, peer)) add_ipv6(text, ipv6);
    if (family == AF_UNIX && bytes > path_at)
        add_unix(text, reinterpret_cast<const char*>(peer) + path_at, bytes - path_at);
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
    if (thread.lane != nullptr && thread.slot != nullptr) tell_call(*thread.lane, *thread.slot, call, times, told);
}

}  // namespace loopwatch::preload
