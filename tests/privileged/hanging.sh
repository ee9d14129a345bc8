#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One attaches to what hangs already: a program without probes whose loop sleeps in a callback since before the session is reported while
# it does, with its stack; one that rests is not; a thread that never waits is named.
# Runs alone: it judges when stalls are reported.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop"

# hang_already KIND MS SOURCE FUNCTION LOOP…: side by side, each under a session that begins when the stall goes on: it reports it while it
# lasts, and once it has ended.
hang_already() {
    local kind=$1 ms=$2 source=$3 function=$4 loop name
    local -A targets sessions
    shift 4
    for loop; do
        start_fixture "$loop-$kind" "$fixtures/any_loop" --dir "$work" "$loop"
        targets[$loop]=$target
        tell "$loop-$kind" "go $kind 1 $ms"
    done
    # Not a synchronisation: the time in which they are to begin to hang.
    sleep 0.3
    for loop; do
        watch "$loop-$kind-report" "${targets[$loop]}"
        sessions[$loop]=$session
    done
    for loop; do
        name=$loop-$kind
        wait_until 5 has_record "$name-report" 'len(of("stall")) > 0' || true
        wait_output "$name" 10 '^done' || fail "$name: not done"
        wait_until 5 has_record "$name-report" 'len(of("slow_callback")) > 0' || true
        end_session "${sessions[$loop]}"
        check "$loop, $kind: what hangs since before the session is a stall of at least so long, with its stack" has_record "$name-report" \
            "(lambda s: not s['start_known'] and '$source' in [x['kind'] for x in s['sources']] and any('$function' in n for n in names(s['stack'])))(of('stall')[0])"
        check "$loop, $kind: and one slow iteration once it has ended, with nothing lost" has_record "$name-report" \
            'len(of("slow_callback")) == 1 and not any(v for k, v in r[-1]["lost"].items() if k != "switch_unseen")'
        tell "$name" quit
    done
}
hang_already sleep 3000 sleep sleep_too_long boost uv event
# One that spins is found by samples. No two at a time: they would wait for each other's CPU.
for loop in boost uv event; do hang_already cpu 3000 cpu burn_cpu "$loop"; done

declare -A rest_sessions
for loop in boost uv event epoll; do
    start_fixture "rest-$loop" "$fixtures/any_loop" --threads 1 --parked 4 --dir "$work" "$loop"
    ask "rest-$loop" rest '^done'
    watch "rest-$loop-report" "$target"
    rest_sessions[$loop]=$session
done
# Not a synchronisation: the time in which a false stall would be reported.
sleep 0.6
for loop in boost uv event epoll; do
    end_session "${rest_sessions[$loop]}"
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
