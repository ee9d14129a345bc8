#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` gives others: a package for CMake and pkg-config by which each library links, from C and from C++, headers that
# stand alone, and a collector that finds its shim; all of it also when the installation was moved.
# Runs beside others, 20 s: it compiles, links and reads files.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_command cmake g++ gcc pkg-config readelf
need_program "$loopwatch"
consumer=$root/tests/contract/install

installed() {
    cmake --install "$build" --prefix "$work/first" &&
        (cd "$work/first" && ls bin/loopwatch include/loopwatch/{probe,join,rt}.hpp include/loopwatch/{join,loop_state}.h share/doc/loopwatch/LICENSE{,.bpf})
}
check "it is installed, with its licences" installed
libraries=$work/first/$(cd "$work/first" && dirname "$(find . -name 'libloopwatch_join.a')")
check "with libraries and packages" ls "$libraries"/libloopwatch_{rt,join}.a "$libraries"/libloopwatch_preload.so \
    "$libraries"/cmake/loopwatch/loopwatch-{config,config-version,targets}.cmake "$libraries"/pkgconfig/loopwatch-{probes,rt,join}.pc
check_not "no package names a place of the machine that built it" \
    grep -rnE "$root|$build|$work|/usr/" "$libraries/cmake" "$libraries/pkgconfig"

components() {
    cmake --install "$build" --prefix "$work/tools" --component tools && cmake --install "$build" --prefix "$work/devel" --component devel &&
        [ ! -e "$work/tools/include" ] && [ ! -e "$work/devel/bin" ] && [ -x "$work/tools/bin/loopwatch" ] && [ -e "$work/devel/include/loopwatch/join.h" ]
}
check "tools and headers are apart" components

# greets PROGRAM…: each says the line that it exists for.
greets() {
    local program
    for program; do
        [ "$("$program")" = "$(basename "$program" | sed 's/uses_//'): greeted" ] || { echo "$program does not"; return 1; }
    done
}
# with_cmake PREFIX FOLDER OPTION…
with_cmake() { cmake -S "$consumer" -B "$2" -DCMAKE_PREFIX_PATH="$1" "${@:3}" && cmake --build "$2"; }

# with_pkg_config PREFIX FOLDER NAME COMPILER SOURCE
with_pkg_config() {
    local flags
    # shellcheck disable=SC2086
    flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$1" -name loopwatch-probes.pc)") pkg-config --cflags --libs "loopwatch-$3") &&
        mkdir -p "$2" && $4 "$consumer/$5" $flags -o "$2/uses_$3"
}

# serves PREFIX: everything that a user does with it.
serves() {
    local prefix=$1 name=$2
    local folder=$work/$name
    check "$name: find_package and its four targets link" with_cmake "$prefix" "$folder/cmake"
    check "$name: and run" greets "$folder"/cmake/uses_{probes,join,rt,asio}
    check "$name: with a probe's site" sh -c 'readelf -nW "$1" | grep -A1 "Provider: loopwatch" | grep -q "Name: slow_dispatch"' - "$folder/cmake/uses_probes"
    check "$name: a project in C alone links loopwatch::join" with_cmake "$prefix" "$folder/c" -DONLY_C=ON
    check "$name: and runs" greets "$folder/c/uses_join"
    check "$name: pkg-config, headers from C++17" with_pkg_config "$prefix" "$folder/pc" probes "g++ -std=c++17" uses_probes.cpp
    check "$name: pkg-config, C" with_pkg_config "$prefix" "$folder/pc" join "gcc -std=c11" uses_join.c
    check "$name: pkg-config, the runtime" with_pkg_config "$prefix" "$folder/pc" rt "g++ -std=c++20 -Wall -Werror" uses_rt.cpp
    check "$name: and they run" greets "$folder"/pc/uses_{probes,join,rt}
    check_equal "$name: loopwatch run finds the shim of this installation" "$(find "$prefix" -name libloopwatch_preload.so)" \
        "$("$prefix/bin/loopwatch" run --inside --quiet -- sh -c 'sed -n "s|.* \(/.*libloopwatch_preload.so\)$|\1|p" /proc/self/maps | sort -u' 2>"$work/shim.err")"
    start_told "$name-waiting" "$folder/c/uses_join" wait
    wait_output "$name-waiting" 5 greeted || fail "it does not run"
    check "$name: loopwatch ps reads it" sh -c '"$1" ps -p "$2" | grep -Eq "^greeter#1 +suspended +main .*uses_join.c:[0-9]+ +main uses_join.c:[0-9]+$"' - \
        "$prefix/bin/loopwatch" "$started"
    tell "$name-waiting" end
}
serves "$work/first" installed
mv "$work/first" "$work/second"
serves "$work/second" moved
