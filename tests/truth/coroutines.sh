#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# --coroutines on programs that know nothing of loopwatch: Boost.Asio's awaitables and QCoro. Each stall is told of the coroutine whose resume
# it was, two in one iteration apart; healthy ones give no finding; what cannot be told is told as an iteration, and why.
# Runs alone: it judges durations, and that healthy programs are not reported.
# Was flaky: "task is answer, not None" (2 of 1260 stalls): the wake-up of the loop reached no tracer of this VM (0 of 720 since the entry of
# a body looks for its iteration itself); a finding of 101 ms in the healthy part beside a compiler, which was right: see `load` below.
. "$(dirname "$0")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/stripped/any_loop" "$build/bin/order_server"

judge() { /usr/bin/python3 "$root/tests/truth/judge.py" "$@"; }

rows=$work/rows
: >"$rows"
count=5 ms=50
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then count=23; fi
thresholds=(--threshold 25ms --block-threshold 5ms)

# one_session LOOP COROUTINE KIND LINE COUNT
one_session() {
    local name=$1-$3
    watch "$name" "$target" "${thresholds[@]}" --coroutines --max-overhead 50
    ask "$1" "$4" '^done' 60 || return 1
    end_session
    grep -E "^stall $3 " "$work/$1.out" | tail -n "$5" >"$work/$name.truth"
    judge case "$3" --tier 0 --coroutine "$2" --name "$1 $3" --count "$5" --truth "$work/$name.truth" --report "$work/$name.out" --rows "$rows"
}

for pair in "awaitable answer" "qt serve_timer"; do
    read -r loop coroutine <<<"$pair"
    start_fixture "$loop" "$fixtures/any_loop" --dir "$work" "$loop"
    for kind in sleep cpu nested_wait; do
        check "$loop, $kind: $count resumes of $coroutine" one_session "$loop" "$coroutine" "$kind" "go $kind $count $ms" "$count"
    done
    if [ "$loop" = awaitable ]; then
        check "two slow resumes of one iteration are two findings" one_session awaitable answer sleep "pair sleep $ms" 2
    fi
    watch "$loop-crowd" "$target" --threshold 30ms --coroutines --max-overhead 50
    ask "$loop" "each 5" '^done'
    wait_until 10 has_lines_ "$loop-crowd" '"type":"slow_callback"' 3 || true
    ask "$loop" "each 0" '^done'
    end_session
    # The rest it may have waited for a CPU: half of an iteration in 14 of 60 sessions, while our own worker read symbols.
    # shellcheck disable=SC2016
    check "$loop: resumes of 5 ms that hold the loop together are told as one iteration, with what they did" has_record "$loop-crowd" \
        '(lambda s: len(s) >= 3 and all(x["scope"] == "iteration" and x["dispatches"] >= 5 and x["duration_ns"] >= 30_000_000
         and x["breakdown"]["cpu_ns"] > (x["duration_ns"] - x["breakdown"]["runq_ns"]) * 0.9 for x in s)
         and any("serve_a_request" in n for x in s for b in x["sources"] if b["kind"] == "cpu" for n in names(b["stack"])))(of("slow_callback"))'
    watch healthy "$target" --coroutines --max-overhead 50
    # A fifth of a CPU: half of one, and a compiler beside it, and 1852 callbacks in one go did hold the loop for 101 ms.
    ask "$loop" "load 5" '^done'
    # Not a synchronisation: the time that the program is to be healthy.
    sleep 2
    ask "$loop" "load 0" '^done'
    end_session
    check_silent "$loop under load: no finding" healthy
    check "what a resume costs is a notice, and no limit of the report" has_record healthy \
        '"costs it about" in str(of("target_start")) and "warning" not in r[-1]["completeness_reason"]'
    check "the session saw it" has_record healthy 'r[-1]["dispatches"] > 1000 and r[-1]["lost"]["ring_full"] == 0'

    watch limited "$target" "${thresholds[@]}" --coroutines --max-overhead 0.01
    wait_until 10 grep -q 'from here on iterations are timed' "$work/limited.err" || fail "no step down"
    ask "$loop" "go sleep 1 $ms" '^done'
    end_session
    check "above --max-overhead iterations are timed, and it says so" has_record limited 'of("slow_callback")[-1]["scope"] == "iteration"'
    tell "$loop" quit
done

start_fixture stripped "$fixtures/stripped/any_loop" --dir "$work" awaitable
watch stripped-report "$target" "${thresholds[@]}" --coroutines
ask stripped "go sleep 1 $ms" '^done'
end_session
check "a stripped program: iterations, and the reason" has_record stripped-report \
    'of("slow_callback")[0]["scope"] == "iteration" and any("no coroutine body has a symbol" in w for w in r[0]["warnings"])'

judge table "$rows" "$build/truth-coroutines.json"
