// SPDX-License-Identifier: Apache-2.0
//
// Memory: reads a target's memory (process_vm_readv), nothing else. Addresses come from the target and may be anything.
#pragma once

#include <sys/types.h>

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

namespace loopwatch {

// A pointer of the target's, found in a record that was read from it. It must not be dereferenced here.
template <class T>
std::uint64_t address_of(T* pointer)
{
    return std::bit_cast<std::uint64_t>(pointer);
}

class Memory {
public:
    explicit Memory(pid_t pid) : pid_(pid) {}

    // All of `bytes` or nothing.
    bool read(std::uint64_t address, void* to, std::size_t bytes) const;
    // Up to `limit` bytes or the terminating NUL; empty if unreadable.
    std::string text(std::uint64_t address, std::size_t limit = 256) const;

    template <class T>
    std::optional<T> object(std::uint64_t address) const
    {
        static_assert(std::is_trivially_copyable_v<T>);
        T value;
        if (!read(address, &value, sizeof value)) return std::nullopt;
        return value;
    }

private:
    pid_t pid_;
};

}  // namespace loopwatch
