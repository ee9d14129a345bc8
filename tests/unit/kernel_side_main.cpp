// SPDX-License-Identifier: Apache-2.0
//
// The main of tests that load BPF programs: without root or BTF each case is skipped, with the reason on its last line.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace {

constexpr int skipped = 77;

const char* why_not()
{
    if (::geteuid() != 0) return "needs root";
    if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return "needs a kernel with BTF";
    return nullptr;
}

}  // namespace

int main(int count, char** arguments)
{
    // What only lists the cases needs nothing.
    const bool lists = count > 1 && std::strncmp(arguments[1], "--list", 6) == 0;
    if (const char* const why = lists ? nullptr : why_not()) {
        std::printf("skipped: %s\n", why);
        return skipped;
    }
    return Catch::Session().run(count, arguments);
}
