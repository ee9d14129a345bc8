#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The loops of a process are found from outside, by the allocated note alone: in stripped programs, in every DSO, however linked.
# Runs beside others, 10 s: it compiles and reads memory.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command g++ clang++ ld.lld ld.gold strip llvm-strip python3
cd "$root/tests/contract/probes"

compile() { "$2" -std=c++20 -Wall -Wextra -Wpedantic -Werror -I "$root/runtime_probes/include" "${@:3}" -o "$work/$1"; }

# found: what an outsider sees of a fresh process of $work/program.
found() {
    start_background program "$work/program"
    wait_output program 5 '^ready' && python3 find_loops.py "$started" >"$work/found"
    stop "$started"
}

# loops_found SENTENCE COMPILER FLAG…: the program's two loops, newest first, and not the one that was withdrawn.
loops_found() {
    compile program "${@:2}" registry_program.cpp
    strip --strip-all "$work/program"
    found
    check_equal "found, stripped: $1" $'program 22 second\nprogram 11 first' "$(cat "$work/found")"
}
loops_found "g++ -O0" g++ -O0
loops_found "g++ -O2 PIE" g++ -O2
loops_found "g++ -O2, no PIE" g++ -O2 -fno-pie -no-pie
loops_found "g++ -O2, static" g++ -O2 -static
loops_found "g++ -O2, static PIE" g++ -O2 -fPIE -static-pie
loops_found "g++ -O2 -flto, --gc-sections" g++ -O2 -flto -ffunction-sections -Wl,--gc-sections
loops_found "g++ -O2, gold --icf=all" g++ -O2 -ffunction-sections -fuse-ld=gold -Wl,--icf=all
loops_found "clang++ -O2" clang++ -O2
loops_found "clang++ -O2 -flto=thin, lld --icf=all --gc-sections" clang++ -O2 -flto=thin -fuse-ld=lld -Wl,--icf=all,--gc-sections

compile program g++ -O2 registry_program.cpp
llvm-strip --strip-all "$work/program" && llvm-strip --strip-sections "$work/program"
found
check_equal "found without a single section header" $'program 22 second\nprogram 11 first' "$(cat "$work/found")"

compile libloop.so g++ -O2 -fPIC -shared -DLIBRARY registry_program.cpp
compile program g++ -O2 -DWITH_LIBRARY registry_program.cpp "$work/libloop.so" -Wl,-rpath,"$work"
strip --strip-all "$work/program" "$work/libloop.so"
found
check_equal "a library's loops stand in a registry of its own" \
    $'libloop.so 33 library\nprogram 22 second\nprogram 11 first' "$(cat "$work/found")"

cat >"$work/two.cpp" <<'SOURCE'
#include <loopwatch/rt/registry.hpp>
void other(lw_loop_slot& slot) { loopwatch::registry_add(slot); }
SOURCE
two_units() {
    compile program "$@" registry_program.cpp "$work/two.cpp" &&
        [ "$(readelf -nW "$work/program" | grep -c '^  loopwatch ')" -eq 1 ]
}
check "two translation units share one note" two_units g++ -O2
check "and with link-time optimization" two_units g++ -O2 -flto
