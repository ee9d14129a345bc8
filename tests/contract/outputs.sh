#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Several outputs of one session, one of which fails: its disk is full and has room again, or its reader reads nothing. An optional one
# loses records, counts each, and goes on; a required one ends the session. The other output is complete.
# Runs beside others, 25 s: it counts records and waits for them, and judges no duration.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_command python3 unshare
need_program "$loopwatch" "$fixtures/stall"
own_mounts=(unshare --mount)
is_root || own_mounts=(unshare --map-root-user --mount)
cd "$work"

# session NAME OPTION…: of a program that stalls on request; its complete report in NAME.out.
session() {
    local name=$1
    shift
    rm -f "$name.out"
    start_told "$name-run" "${own_mounts[@]}" sh -ec 'mount -t tmpfs -o size=64k none "$1"; shift; exec "$@"' - "$work/small" \
        "$loopwatch" run --inside --interval 100ms -o "$name.out" --format ndjson "$@" --format ndjson -- \
        "$fixtures/stall" sleep 1 150
    session=$started
    wait_output "$name-run" 10 '^ready' || fail "$name did not start"
    small=/proc/$session/root$work/small
}
# stalls NAME COUNT: one at a time, until its complete report has them.
stalls() {
    local before i
    before=$(records "$1" 'len(slow)')
    for ((i = 1; i <= $2; i++)); do ask "$1-run" go '^done' || return 1; done
    wait_until 10 has_record "$1" "len(slow) == $((before + $2))"
}
# stats NAME COUNT: until its complete report has so many more statistics, ten a second.
stats() {
    local before
    before=$(records "$1" 'len(of("session_stats"))')
    wait_until 30 has_record "$1" "len(of('session_stats')) >= $((before + $2))"
}
# quit NAME: the program, and with it the session; its exit status in $ended_status.
quit() {
    tell "$1-run" quit
    ended_with "$session" 20 || fail "$1 does not end"
}
# lost NAME LOSS: as its session_end has it.
lost() { records "$1" "r[-1]['type'] == 'session_end' and r[-1]['lost'].get('$2', 0)"; }
# missing NAME OTHER: how many records of NAME the report OTHER lacks, and how many lines of OTHER are not whole.
missing() {
    printf '%s %s' $(($(wc -l <"$1.out") - $(wc -l <"$2.out"))) "$(/usr/bin/python3 - "$2.out" <<'PY'
import json, sys
broken = 0
for line in open(sys.argv[1], encoding="utf-8"):
    try:
        json.loads(line)
    except ValueError:
        broken += 1
print(broken)
PY
)"
}
fill() { ! dd if=/dev/zero of="$small/ballast" bs=1k 2>/dev/null; }
mkdir small
mkfifo idle.fifo
exec 8<>idle.fifo

if ! "${own_mounts[@]}" true 2>/dev/null; then
    skip_check "an output on a full disk" "cannot make a mount namespace"
else
    # --- a full disk ---
    session disk --optional-output "$work/small/report"
    check "while there is room, both get a stall" stalls disk 1
    check "the disk is filled" fill
    check "that an optional output fails is a warning in the other" \
        wait_until 20 has_record disk "[w for w in of('warning') if 'small/report: No space left on device; it is tried again' in w['text']]"
    check "the other gets what comes meanwhile" stalls disk 3
    check "for more than three seconds" stats disk 35
    check_equal "of which it is warned once, on stderr too" "1 1" \
        "$(records disk 'len(of("warning"))') $(grep -c 'warning: .*small/report' disk-run.err)"
    full=$(stat -c %s "$small/report")
    rm "$small/ballast"
    check "once there is room it goes on" wait_until 10 sh -c '[ "$(stat -c %s "$1")" -gt "$2" ]' - "$small/report" "$full"
    check "with what comes then" stalls disk 1
    exec 9<"$small/report" # the mount ends with the session
    quit disk
    cat <&9 >report.out
    exec 9<&-
    check_equal "the session is all right" 0 "$ended_status"
    check_equal "the other has all stalls and lost nothing" "5 0" "$(records disk 'len(slow)') $(lost disk output_failed)"
    check_equal "and its report is complete" "complete " "$(records disk 'r[-1]["completeness"] + " " + r[-1]["completeness_reason"]')"
    check_equal "of the optional one each record is there or counted, and no line is cut" "$(lost report output_failed) 0" "$(missing disk report)"
    check "and it lacks some" test "$(lost report output_failed)" -gt 5
    check_equal "which its completeness says" findings_missing "$(records report 'r[-1]["completeness"]')"

    session ends -o "$work/small/report"
    check "the disk is filled" fill
    ended_with "$session" 20 || fail "the session goes on without a required output"
    tell ends-run quit
    check_equal "a required one ends the session with 1, and the other is completed" "1 session_end output_failed" \
        "$ended_status $(records ends 'r[-1]["type"] + " " + r[-1]["reason"]')"
    check "an error names it" grep -q '^loopwatch: cannot write to .*small/report: No space left on device' ends-run.err
fi

# --- a reader that reads nothing ---
session asleep --optional-output idle.fifo
check "the other output gets each stall as it comes" stalls asleep 3
check "and statistics" stats asleep 20
quit asleep
check_equal "an optional output keeps no session from its end" "0 session_end" "$ended_status $(records asleep 'r[-1]["type"]')"
exec 8<&-

# Findings, as many as the rate limits admit, fill the queue of 8 MiB.
rm idle.fifo && mkfifo idle.fifo
exec 8<>idle.fifo
session slow --threshold 1ms --block-threshold 1ms --optional-output idle.fifo
tell slow-run "go sleep 30000 2"
check "the other output gets more than the queue takes" wait_until 60 sh -c '[ "$(stat -c %s "$1")" -gt 10000000 ]' - slow.out
# shellcheck disable=SC2016
start_background reader sh -c 'exec 8>&-; exec cat <"$1" >"$2"' - idle.fifo late.out
check "a reader that begins to read gets what is current" wait_until 20 has_record late "of('session_stats')[-1]['mono_ns'] >= $(records slow 'of("session_stats")[-1]["mono_ns"]')"
stop "$session" TERM # and so the program
ended_status=$stopped_status
exec 8<&-
wait_until 10 is_gone_ "$started" || fail "the reader does not end"
check_equal "each record came or is counted" "$(lost late output_full) 0" "$(missing slow late)"
check "and it lacks some" test "$(lost late output_full)" -gt 0
check_equal "the other lacks none" "143 0" "$ended_status $(lost slow output_full)"
