#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What asio_tracking.hpp promises to programs on Asio and Boost.Asio: it builds where they do, no object grows, parts built with and
# without it go together, and threads are loops only while they run handlers; under the sanitizers too.
# Runs beside others, 90 s: it compiles, and what it runs judges no time.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command g++ clang++
cd "$root/tests/contract/asio_tracking"

warnings=(-Wall -Wextra -Wpedantic -Wshadow -Werror -I "$root/runtime_probes/include")
flag='CUSTOM_HANDLER_TRACKING=<loopwatch/asio_tracking.hpp>'
declare -A library=([boost]="-DWITH_BOOST" [asio]="-DASIO_STANDALONE") flags=([boost]="-DBOOST_ASIO_$flag" [asio]="-DASIO_$flag")

# --- names ---
for compiler in g++ clang++; do
    check "operations are called as people wrote their handlers: $compiler, C++20" "$compiler" -std=c++20 "${warnings[@]}" -fsyntax-only names.cpp
done
check "and in C++17" g++ -std=c++17 "${warnings[@]}" -fsyntax-only names.cpp

# --- no object grows ---
sizes() {
    g++ -std=c++20 -DNET_HAS_AWAITABLE -I "$root/runtime_probes/include" "$@" sizes.cpp -o "$work/sizes" -lpthread && "$work/sizes"
}
for name in boost asio; do
    sizes "${library[$name]}" >"$work/without" || fail "sizes.cpp does not build"
    check_equal "$name: 38 objects and operations are as large with the flag as without" "$(cat "$work/without")" \
        "$(sizes "${library[$name]}" "${flags[$name]}")"
    check_equal "$name: so many were looked at" 38 "$(wc -l <"$work/without")"
done

# --- it builds and runs, in parts with and without ---
# lives SENTENCE LIBRARY COMPILER FLAG…: lifecycle.cpp, half of it without the flag.
lives() {
    local sentence=$1 name=$2
    shift 2
    built_and_run() {
        "$@" "${warnings[@]}" "${library[$name]}" -DTRACKED_ELSEWHERE -c lifecycle.cpp -o "$work/elsewhere.o" &&
            "$@" "${warnings[@]}" "${library[$name]}" "${flags[$name]}" lifecycle.cpp "$work/elsewhere.o" -o "$work/lifecycle" -lpthread &&
            timeout 60 "$work/lifecycle"
    }
    check "$sentence" built_and_run "$@"
}
lives "boost, g++ -std=c++17: loops come and go with their threads" boost g++ -std=c++17 -O2
lives "asio, g++ -std=c++20, under AddressSanitizer" asio g++ -std=c++20 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover
lives "asio, clang++ -std=c++17, under ThreadSanitizer" asio clang++ -std=c++17 -g -O1 -fsanitize=thread
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then
    lives "boost, clang++ -std=c++20" boost clang++ -std=c++20 -O1
    lives "boost, g++ -std=c++20, under ThreadSanitizer" boost g++ -std=c++20 -g -O1 -fsanitize=thread -Wno-tsan  # of fences, Asio's own
fi

cat >"$work/both.cpp" <<'SOURCE'
#include <asio.hpp>
#include <boost/asio.hpp>
int main()
{
    int ran = 0;
    asio::io_context one;
    boost::asio::io_context other;
    asio::post(one, [&] { boost::asio::post(other, [&] { ++ran; }); });
    one.run();
    other.run();
    return ran == 1 ? 0 : 1;
}
SOURCE
both() { g++ -std=c++17 "${warnings[@]}" -DASIO_STANDALONE "$@" "$work/both.cpp" -o "$work/both" -lpthread && "$work/both"; }
check "both libraries in one translation unit" both "${flags[boost]}" "${flags[asio]}"
check "both, only one of them told of" both "${flags[boost]}"
check "compiled out" both "${flags[boost]}" -DLOOPWATCH_NO_PROBES
check "and then it has no site" sh -c "! readelf -SW '$work/both' | grep -q stapsdt"
