// SPDX-License-Identifier: Apache-2.0
#include "target/memory.hpp"

#include <sys/uio.h>

#include <algorithm>
#include <cstring>

namespace loopwatch {

namespace {
constexpr std::uint64_t user_space_end = 1ull << 47;
constexpr std::uint64_t page = 4096;

// process_vm_readv takes addresses as pointers.
void* remote(std::uint64_t address)
{
    void* pointer = nullptr;
    std::memcpy(&pointer, &address, sizeof pointer);
    return pointer;
}
}  // namespace

bool Memory::read(std::uint64_t address, void* to, std::size_t bytes) const
{
    if (address == 0 || address >= user_space_end || bytes > user_space_end - address) return false;
    const iovec local{to, bytes}, target{remote(address), bytes};
    return ::process_vm_readv(pid_, &local, 1, &target, 1, 0) == static_cast<ssize_t>(bytes);
}

// In steps that end at page boundaries: the page behind the string may not exist.
std::string Memory::text(std::uint64_t address, std::size_t limit) const
{
    std::string text;
    char buffer[256];
    while (text.size() < limit) {
        const std::size_t step =
            std::min({sizeof buffer, limit - text.size(), static_cast<std::size_t>(page - address % page)});
        if (!read(address, buffer, step)) break;
        const std::size_t length = ::strnlen(buffer, step);
        text.append(buffer, length);
        if (length < step) break;
        address += step;
    }
    return text;
}

}  // namespace loopwatch
