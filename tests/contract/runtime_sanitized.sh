#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The runtime and the join API under AddressSanitizer and UBSan, and under ThreadSanitizer: a seeded stress of every primitive. With
# LOOPWATCH_FULL=1 the unit tests too, a million operations each, the runtime without probes, and what clang makes of it.
# Runs beside others, 75 s: it compiles, and what it runs judges no time.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command cmake g++
if grep -qE '^LOOPWATCH_SANITIZE:STRING=.+' "$build/CMakeCache.txt"; then skip "this build has its own sanitizer"; fi
full=${LOOPWATCH_FULL:-}

export ASAN_OPTIONS=detect_stack_use_after_return=1 TSAN_OPTIONS=halt_on_error=1
# stressed KIND OPERATIONS SEED…
stressed() {
    local kind=$1 operations=$2 seed
    shift 2
    for seed; do
        check "$kind: $operations operations of seed $seed keep what the runtime promises" \
            "$programs/rt_stress_$kind" --seed "$seed" --operations "$operations" || break
    done
}

targets=(rt_stress_asan rt_stress_tsan)
if [ "$full" = 1 ]; then targets+=(test_rt_asan test_rt_tsan rt_stress_noprobes test_rt_noprobes); fi
cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}" >"$work/build" 2>&1 || { tail -n 40 "$work/build" && fail "it does not build"; }
programs=$build/bin/tests
for kind in asan tsan; do
    # 1 to 4 loops, as the seed has it.
    stressed "$kind" 5000 1 2 3 4
    check "$kind: in debug mode" "$programs/rt_stress_$kind" --operations 5000 --loops 2 --debug
done

if [ "$full" = 1 ]; then
    for kind in asan tsan; do
        check "$kind: the unit tests of the runtime and of the join API" "$programs/test_rt_$kind"
        stressed "$kind" 1000000 "$RANDOM"
    done
    check "without probes: the unit tests of the runtime" "$programs/test_rt_noprobes" "~[probes]"
    stressed noprobes 1000000 "$RANDOM"
    if command -v clang++-16 >/dev/null; then
        with_clang() {
            cmake -S "$root" -B "$work/clang" -G Ninja -DCMAKE_C_COMPILER=clang-16 -DCMAKE_CXX_COMPILER=clang++-16 &&
                cmake --build "$work/clang" --target rt_stress_asan test_rt_asan &&
                "$work/clang/bin/tests/rt_stress_asan" --operations 100000 && "$work/clang/bin/tests/test_rt_asan"
        }
        check "clang 16 builds the runtime, and its tests pass" with_clang
    else
        skip_check "clang 16 builds the runtime, and its tests pass" "needs clang++-16: scripts/setup --for full"
    fi
fi
