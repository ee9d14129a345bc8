#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a program brings decides what is known of it, not how it is watched: a target of each tier in each mode commits the same stalls,
# and each cell of the table finds them all, in their function, or a warning says why not.
# Runs alone: a program that waits for a CPU is slow too.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command setpriv
shim=$build/lib/libloopwatch_preload.so
need_program "$loopwatch" "$shim" "$fixtures/any_loop" "$fixtures/stall" "$fixtures/asio_tracked_asio"
unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"${unprivileged[@]}" test -x "$loopwatch" || unprivileged=()
chmod 777 "$work"
cd "$work"
count=3

# The targets: what they bring, the order that makes them stall, and the function in which they do.
declare -A programs=([none]="$fixtures/any_loop --dir $work epoll" [asio]="$fixtures/asio_tracked_asio callback" [probes]="$fixtures/stall --dir $work sleep $count 150")
declare -A orders=([none]="go sleep $count 150" [asio]="go $count 150" [probes]=go)
declare -A functions=([none]=sleep_too_long [asio]=hold_the_loop [probes]=sleep_too_long)
declare -A tier=([none]=0 [asio]=3 [probes]=3)

# found CELL FUNCTION: the stalls it has to find are there, and nothing else.
found() {
    has_record "$1" "(lambda s: len(s) == $count and all(any('$2' in n for n in names(x['stack'])) and 149e6 < x['duration_ns'] < 250e6 for x in s))([x for x in of('slow_callback') if any(p['kind'] == 'sleep' and p['duration_ns'] > 100e6 for p in x['sources'])])"
}
# late CELL FUNCTION: a loop without probes that begins during the session is recognised by its first waits; till then it can stall unseen.
late() {
    has_record "$1" "0 < len([x for x in of('slow_callback') if any('$2' in n for n in names(x['stack']))]) < $count and any('recognised as an event loop' in x['text'] for x in of('warning'))"
}
what_was_found() { records "$1" "[(x['verdict'], x['warnings']) if x['type'] == 'slow_callback' else (x['type'], x.get('tiers'), x['warnings']) for x in r if x['type'] in ('slow_callback', 'session_start', 'target_start') for x['warnings'] in [x.get('warnings')]], r[-1]['lost']"; }

cell() { # MODE TARGET
    local mode=$1 target_=$2 name=$1-$2 report=$1-$2
    # shellcheck disable=SC2206
    local command=(${programs[$target_]})
    rm -f "$name.out"
    case $mode in
    attached) start_fixture "$name-target" "${command[@]}" ;;
    attached-shim) start_fixture "$name-target" env LD_PRELOAD="$shim" "${command[@]}" ;;
    run) start_told "$name-target" "$loopwatch" run --format ndjson -o "$name.out" -- "${command[@]}" ;;
    inside) start_told "$name-target" "$loopwatch" run --inside --format ndjson -o "$name.out" -- "${command[@]}" ;;
    user) start_told "$name-target" "${unprivileged[@]}" "$loopwatch" run --format ndjson -o "$name.out" -- "${command[@]}" ;;
    esac
    local session_=$started
    wait_output "$name-target" 10 '^ready' || fail "$name did not start"
    case $mode in attached*) watch "$report" "$target" ;; esac
    ask "$name-target" "${orders[$target_]}" '^done' 60 || fail "$name: not done"
    case $mode in
    attached*) end_session && tell "$name-target" quit ;;
    *) tell "$name-target" quit && ended_with "$session_" 20 ;;
    esac
    check "$target_, $mode: $count stalls are $count findings, in ${functions[$target_]}, or a warning says why not" \
        eval "found $report ${functions[$target_]} || late $report ${functions[$target_]} || { what_was_found $report; false; }"
    case $mode in inside | user) tier_=1 ;; *) tier_=${tier[$target_]} ;; esac
    check "$target_, $mode: of tier ${tier[$target_]}" has_record "$report" "all($tier_ in x['tiers'] and (3 in x['tiers']) == (${tier[$target_]} == 3) for x in of('session_start') + [of('target_start')[-1]])"
}
for target_ in none asio probes; do
    for mode in attached attached-shim run inside user; do
        if [ $mode = user ] && [ ${#unprivileged[@]} -eq 0 ]; then skip_check "$target_, $mode" "other users cannot run $loopwatch"; else cell $mode $target_; fi
    done
done
