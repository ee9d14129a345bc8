// SPDX-License-Identifier: Apache-2.0
//
// Which first instructions of a function the kernel emulates, so that a probe there takes one trap and not two.
#include <catch2/catch.hpp>

#include "collect/trap_cost.hpp"

using loopwatch::is_stepped;

TEST_CASE("what the kernel emulates takes one trap: push, nop, calls and jumps")
{
    CHECK_FALSE(is_stepped({0x55, 0x48, 0x89, 0xe5}));  // push %rbp
    CHECK_FALSE(is_stepped({0x41, 0x57, 0x41, 0x56}));  // push %r15
    CHECK_FALSE(is_stepped({0x90, 0x90, 0x90, 0x90}));
    CHECK_FALSE(is_stepped({0x0f, 0x1f, 0x44, 0x00}));  // nop of five bytes
    CHECK_FALSE(is_stepped({0xe8, 0x00, 0x00, 0x00}));
    CHECK_FALSE(is_stepped({0xe9, 0x00, 0x00, 0x00}));
    CHECK_FALSE(is_stepped({0xeb, 0x10, 0x00, 0x00}));
}

TEST_CASE("all else takes two, endbr64 too")
{
    CHECK(is_stepped({0xf3, 0x0f, 0x1e, 0xfa}));  // endbr64
    CHECK(is_stepped({0x48, 0x83, 0xec, 0x18}));  // sub $24, %rsp
    CHECK(is_stepped({0x0f, 0x05, 0x90, 0x90}));  // a syscall begins as a long nop does
    CHECK(is_stepped({0x41, 0x89, 0xf8, 0x90}));  // mov %edi, %r8d
}
