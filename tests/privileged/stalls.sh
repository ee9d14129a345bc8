#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A dispatch is reported while it hangs: at the threshold, at twice, at four times …, with what it does by then, asleep or on the CPU;
# also one that never returns. When it does return, the slow callback has the last word.
# Runs alone: it judges when stalls are reported.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures/stall"

# told SESSION: of each stall, how many whole thresholds of 100 ms it has lasted.
told() { records "$1" '[x["elapsed_ns"] // 100_000_000 for x in of("stall")]'; }


start_fixture target "$fixtures/stall" --dir "$work" sleep 1 450
for kind in sleep cpu lock; do
    watch "$kind" "$target" --threshold 100ms
    ask target "go $kind 1 450" '^done' || fail "not done"
    end_session
    check_equal "$kind for 450 ms: told at 100, 200 and 400 ms" "[1, 2, 4]" "$(told "$kind")"
    check "$kind: as what it is" has_record "$kind" \
        "all(x['sources'][0]['kind'] == '$kind' and x['in_progress'] and x['start_known'] and x['duration_ns'] == x['elapsed_ns'] for x in of('stall'))"
    check "$kind: its parts sum to what has passed" has_record "$kind" \
        'all(sum(x["breakdown"].values()) == x["elapsed_ns"] for x in of("stall"))'
    check "$kind: whose task it is, in which function, on which line" has_record "$kind" \
        "all(x['task']['name'] == '$kind-0' and any(f['file'].endswith('kinds.cpp') and f['line'] > 0 for f in x['stack']) for x in of('stall'))"
    check_equal "$kind: then the slow callback, of the same dispatch, once" "[True]" \
        "$(records "$kind" '[x["dispatch_seq"] == of("stall")[0]["dispatch_seq"] and r.index(x) > r.index(of("stall")[-1]) for x in of("slow_callback")]')"
    check "$kind: the sentence says that it goes on" has_record "$kind" 'all("has been holding loop main" in x["verdict"] for x in of("stall"))'
done
tell target quit

# --- one that burns in two places: 50 samples and more of the first, before the second begins ---
start_fixture burner "$fixtures/stall" --dir "$work" two_burns 1 600
watch burns "$target" --threshold 50ms
ask burner go '^done' || fail "not done"
end_session
if [ "${LOOPWATCH_PATIENCE:-1}" -gt 1 ]; then
    skip_check "what burned most is blamed, by as much" "an emulated processor runs in bursts: samples by its clock are not spread evenly"
else
    check "the function that burned five sixths of it is blamed, by as much" has_record burns \
        'all("burn_second" in x["verdict"] and x["sources"][0]["args"]["share_percent"] in range(75, 95) for x in of("slow_callback"))'
    check "while it went on, what burned most until then" has_record burns \
        '["burn_second" in x["verdict"] for x in of("stall")] in ([False, False, True, True], [False, True, True, True])'
fi
tell burner quit

# --- one that never returns ---
start_fixture hung "$fixtures/stall" --dir "$work" sleep 1 3600000
watch forever "$target" --threshold 50ms
tell hung go
check "a dispatch that never returns is told, and told again" wait_until 10 has_record forever 'len(of("stall")) >= 3'
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
check_equal "and claims no slow callback: it has not ended" 0 "$(records forever 'len(of("slow_callback"))')"
check "nothing stays" wait_until 5 is_untouched "$target"

check_status "--fail-on stall is met by it" 3 "$loopwatch" -p "$target" --threshold 50ms --duration 300ms --fail-on stall -o "$work/fail"

# --- attached when it hangs already: nobody saw it go to sleep ---
start_fixture unseen "$fixtures/stall" --dir "$work" sleep 1 3600000
tell unseen go
wait_until 10 grep -q '^230 ' "/proc/$target/task/$target/syscall" || fail "it does not sleep in clock_nanosleep"
watch late "$target" --threshold 50ms
check "it is told to a session that came later" wait_until 10 has_record late 'of("stall")'
end_session
check "as what it is, where, and whose" has_record late "all(x['sources'][0]['kind'] == 'sleep' and x['task']['name'] == 'sleep-0'
    and not x['start_known'] and 'for at least' in x['verdict'] and any('kinds.cpp' in f['file'] for f in x['stack']) for x in of('stall'))"
