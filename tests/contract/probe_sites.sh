#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What probe.hpp promises of its sites, looked at from outside: notes, bytes, addresses and semaphores as the probe table says,
# whatever compiler, optimizer and linker made of them.
# Runs beside others, 10 s: it compiles and reads files.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command g++ clang++ readelf objdump ld.lld ld.gold strip llvm-strip python3
cd "$root/tests/contract/probes"

warnings=(-Wall -Wextra -Wpedantic -Werror)
includes=(-I "$root/runtime_probes/include")
inspect() { python3 inspect_sites.py "$@"; }

# compile OUTPUT COMPILER ARGUMENT…
compile() {
    local output=$1 compiler=$2
    shift 2
    "$compiler" -std=c++17 "${warnings[@]}" "${includes[@]}" "$@" -o "$work/$output"
}

# sites_hold SENTENCE COMPILER FLAG…: a program with all probes in two translation units has them as the table says, and runs.
sites_hold() {
    local sentence=$1
    shift
    program_holds() { compile all "$@" all_probes.cpp more_probes.cpp && "$work/all" && inspect "$work/all"; }
    check "sites hold: $sentence" program_holds "$@"
}

sites_hold "g++ -O0" g++ -O0
sites_hold "g++ -O2" g++ -O2
sites_hold "g++ -O3, gold --icf=all" g++ -O3 -ffunction-sections -fuse-ld=gold -Wl,--icf=all
sites_hold "g++ -Os, --gc-sections" g++ -Os -ffunction-sections -fdata-sections -Wl,--gc-sections
sites_hold "g++ -O2 -flto" g++ -O2 -flto
sites_hold "g++ -O2, no PIE" g++ -O2 -fno-pie -no-pie
sites_hold "g++ -O2, static" g++ -O2 -static
sites_hold "g++ -O2, static PIE" g++ -O2 -fPIE -static-pie
sites_hold "g++ -O2, control-flow protection" g++ -O2 -fcf-protection=full
sites_hold "g++ -O2 with debug info and sanitizer" g++ -O2 -g -fsanitize=address
sites_hold "clang++ -O0" clang++ -O0
sites_hold "clang++ -O2" clang++ -O2
sites_hold "clang++ -O2, lld --icf=all --gc-sections" clang++ -O2 -ffunction-sections -fuse-ld=lld -Wl,--icf=all,--gc-sections
sites_hold "clang++ -O2 -flto" clang++ -O2 -flto -fuse-ld=lld
sites_hold "clang++ -O2 -flto=thin, lld --icf=all" clang++ -O2 -flto=thin -fuse-ld=lld -Wl,--icf=all

# From a precompiled header clang takes a variable with a section of its own for a constant.
precompiled_holds() {
    local compiler=$1 header=$2 use=$3
    shift 3
    echo '#include <loopwatch/probe.hpp>' >"$work/precompiled.hpp"
    compile "$header" "$compiler" -O2 "${@:1:1}" -x c++-header "$work/precompiled.hpp" &&
        compile all "$compiler" -O2 "$@" "$use" "$work/${header%.gch}" -Winvalid-pch all_probes.cpp more_probes.cpp &&
        "$work/all" && inspect "$work/all"
}
check "sites hold: g++, precompiled header" precompiled_holds g++ precompiled.hpp.gch -include
check "sites hold: clang++, precompiled header" precompiled_holds clang++ precompiled.pch -include-pch
check "sites hold: clang++ -flto, precompiled header" precompiled_holds clang++ precompiled.pch -include-pch -flto -fuse-ld=lld

# Thunks that nobody calls: their notes go with them, none is left that names an address without a site.
few_hold() { compile few "$@" few_probes.cpp && inspect "$work/few" --only slow_dispatch,task_start; }
check "a linker that collects garbage drops thunks and notes together" few_hold g++ -O2 -Wl,--gc-sections
check "so does lld" few_hold clang++ -O2 -fuse-ld=lld -Wl,--gc-sections

stripped_holds() { compile all g++ -O2 all_probes.cpp more_probes.cpp && "$@" "$work/all" && inspect "$work/all"; }
check "sites survive strip" stripped_holds strip --strip-all
# llvm-strip --strip-all drops every section that is not loaded, notes too, those of sys/sdt.h included; told to keep it, it does.
check "sites survive llvm-strip --strip-unneeded" stripped_holds llvm-strip --strip-unneeded
check "and --strip-all that keeps the notes" stripped_holds llvm-strip --strip-all --keep-section=.note.stapsdt

library_holds() {
    compile libfire.so g++ -O2 -fPIC -shared "$@" library.cpp &&
        compile all g++ -O2 all_probes.cpp "$work/libfire.so" -Wl,-rpath,"$work" &&
        strip --strip-all "$work/all" "$work/libfire.so" && "$work/all" && inspect "$work/all" && inspect "$work/libfire.so"
}
check "a library and its program each have all sites" library_holds
check "also if the library binds its own symbols first" library_holds -Wl,-Bsymbolic,-z,now

beside_user() {
    compile all "$@" -Wno-pedantic all_probes.cpp user_probe.cpp && "$work/all" && inspect "$work/all" &&
        readelf -nW "$work/all" | grep -A3 'Provider: shop' | grep -q 'Semaphore: 0x0*[1-9a-f]' &&
        readelf -SW "$work/all" | grep -q ' \.probes  *PROGBITS'
}
check "a program's own sdt probe and semaphore live beside ours (g++)" beside_user g++ -O2
check "and with clang++ and lld" beside_user clang++ -O2 -fuse-ld=lld

sdt_agrees() {
    compile sdt g++ -O2 -Wno-pedantic sdt_conformance.cpp && compile all g++ -O2 all_probes.cpp more_probes.cpp &&
        diff <(inspect "$work/sdt" --names) <(inspect "$work/all" --names) && [ "$(inspect "$work/all" --names | wc -l)" -ge 24 ]
}
check "systemtap's own header gives the same names and argument counts" sdt_agrees

for compiler in g++ clang++; do
    for standard in c++17 c++20; do
        check "probe.hpp compiles alone: $compiler $standard" \
            "$compiler" -std=$standard "${warnings[@]}" "${includes[@]}" -fsyntax-only -include loopwatch/probe.hpp -x c++ /dev/null
        check "loop_state.h compiles alone: $compiler $standard" \
            "$compiler" -std=$standard "${warnings[@]}" "${includes[@]}" -fsyntax-only -include loopwatch/loop_state.h -x c++ /dev/null
        check "every probe compiles: $compiler $standard" \
            "$compiler" -std=$standard "${warnings[@]}" "${includes[@]}" -fsyntax-only all_probes.cpp
    done
done
for compiler in gcc clang; do
    check "loop_state.h compiles as C: $compiler" \
        "$compiler" -std=c11 "${warnings[@]}" "${includes[@]}" -fsyntax-only -include loopwatch/loop_state.h -x c /dev/null
done
check "and as BPF" clang -target bpf "${includes[@]}" -fsyntax-only -include linux/types.h \
    -I "/usr/include/$(gcc -print-multiarch)" -include loopwatch/loop_state.h -x c /dev/null

leaves_nothing() {
    compile out.o "$@" -DLOOPWATCH_NO_PROBES -c compiled_out.cpp && compile empty.o "$@" -DLEAVE_EMPTY -DLOOPWATCH_NO_PROBES -c compiled_out.cpp &&
        diff <(objdump -d "$work/out.o" | tail -n +3) <(objdump -d "$work/empty.o" | tail -n +3) &&
        objdump -d "$work/out.o" | grep -q fire_all &&
        ! readelf -SW "$work/out.o" | grep -E 'stapsdt|\.probes' && ! nm "$work/out.o" | grep semaphore
}
for compiler in g++ clang++; do
    for level in -O1 -O2 -Os; do
        check "compiled out, no instruction, note or semaphore is left: $compiler $level" leaves_nothing "$compiler" $level
    done
done

location_holds() { g++ -std=c++20 "${warnings[@]}" "${includes[@]}" location.cpp -o "$work/location" && "$work/location"; }
check "a std::source_location points to a lw_location" location_holds
