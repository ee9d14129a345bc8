#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One attaches to what hangs already: a program without probes whose loop sleeps in a callback since before the session is reported while
# it does, with its stack; one that rests is not; a thread that never waits is named.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop"

for loop in boost uv event; do
    start_fixture "$loop" "$fixtures/any_loop" --dir "$work" "$loop"
    tell "$loop" "go sleep 1 2500"
    # Not a synchronisation: the time in which it is to begin to hang.
    sleep 0.3
    watch "$loop-report" "$target"
    wait_until 5 has_record "$loop-report" 'len(of("stall")) > 0' || true
    wait_output "$loop" 10 '^done' || fail "$loop: not done"
    wait_until 5 has_record "$loop-report" 'len(of("slow_callback")) > 0' || true
    end_session
    check "$loop: what hangs since before the session is a stall of at least so long, with its stack" has_record "$loop-report" \
        '(lambda s: not s["start_known"] and s["sources"][0]["kind"] == "sleep" and any("sleep_too_long" in n for n in names(s["stack"])))(of("stall")[0])'
    check "$loop: and one slow iteration once it has ended" has_record "$loop-report" 'len(of("slow_callback")) == 1'
    tell "$loop" quit
done

# The same of callbacks that spin: samples tell where they are.
for loop in boost uv event; do
    start_fixture "spins-$loop" "$fixtures/any_loop" --dir "$work" "$loop"
    tell "spins-$loop" "go cpu 1 3000"
    # Not a synchronisation: the time in which it is to begin to hang.
    sleep 0.3
    watch "spins-$loop-report" "$target"
    wait_until 5 has_record "spins-$loop-report" 'len(of("stall")) > 0' || true
    wait_output "spins-$loop" 10 '^done' || fail "$loop: not done"
    wait_until 5 has_record "spins-$loop-report" 'len(of("slow_callback")) > 0' || true
    end_session
    check "$loop: one that spins since before the session is a stall, with what burns" has_record "spins-$loop-report" \
        '(lambda s: not s["start_known"] and s["sources"][0]["kind"] == "cpu" and any("burn_cpu" in n for n in names(s["stack"])))(of("stall")[0])'
    check "$loop: and one slow iteration once it has ended" has_record "spins-$loop-report" 'len(of("slow_callback")) == 1 and not any(v for k, v in r[-1]["lost"].items() if k != "switch_unseen")'
    tell "spins-$loop" quit
done

for loop in boost uv event epoll; do
    start_fixture "rest-$loop" "$fixtures/any_loop" --threads 1 --parked 4 --dir "$work" "$loop"
    ask "rest-$loop" rest '^done'
    watch "rest-$loop-report" "$target"
    # Not a synchronisation: the time in which a false stall would be told.
    sleep 0.6
    end_session
    check_equal "$loop: one that rests is none" 0 "$(records "rest-$loop-report" 'len(of("stall", "slow_callback", "blocking_call"))')"
    tell "rest-$loop" quit
done

# Its main thread, whose outermost function is no thread's; and it does not wake by itself.
start_fixture idle /usr/bin/python3 -c 'import asyncio, os; print("ready", os.getpid(), flush=True); asyncio.new_event_loop().run_forever()'
# Not a synchronisation: the time in which it goes to sleep.
sleep 0.3
watch idle-report "$target"
end_session
check "a server that sleeps in its main thread is found at the start" has_record idle-report 'len(of("target_start")[0]["loops"]) == 1'
stop "$target"

start_background spin bash -c 'while :; do :; done'
spinning=$started
watch spin-report "$spinning"
end_session
check "a thread that never waits is named in the warnings" has_record spin-report \
    "any('thread bash ($spinning) has not waited yet' in w for w in r[0]['warnings'])"
check "and is no loop" has_record spin-report 'not of("target_start")[0]["loops"] and not of("stall")'
stop "$spinning"
