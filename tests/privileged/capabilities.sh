#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# loopwatch as a user that is not root, with the capabilities that watching from outside uses, and then without each of them: what is
# missing is said, and the rest works. README, "Limits", has the same table.
# Runs alone: it counts stalls of a target beside its sessions.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command setpriv
need_program "$loopwatch" "$fixtures/stall"

uid=64201  # in use by nothing else
every=(bpf perfmon sys_ptrace dac_read_search checkpoint_restore syslog sys_nice kill)
row_() { printf 'CAP_%s' "${1^^}"; }

# without CAPABILITY: from here on "${user[@]}" is the start of a command line as that user, with all of them but this one; "none": with all.
without() {
    local list="" capability
    for capability in "${every[@]}"; do [ "$capability" = "$1" ] || list+=",+$capability"; done
    user=(setpriv --reuid="$uid" --regid="$uid" --clear-groups "--inh-caps=-all$list" "--ambient-caps=-all$list" "--bounding-set=-all$list" --)
}

# watch_without NAME CAPABILITY PID [OPTION…]: a session, live when this returns.
watch_without() {
    local name=$1 pid=$3
    without "$2"
    shift 3
    start_background "$name" "${user[@]}" "$loopwatch" -p "$pid" --format ndjson --threshold 20ms "$@"
    session=$started
    wait_output "$name" 15 '"type":"session_start"' || {
        quote_ "$work/$name.err"
        fail "loopwatch did not start"
    }
}

# observe NAME CAPABILITY PID VOICE [OPTION…]: a session in which the target stalls three times.
observe() {
    local name=$1 voice=$4
    watch_without "$1" "$2" "$3" "${@:5}"
    ask "$voice" go '^done' || fail "not done"
    wait_until 5 has_record "$name" "len(of('slow_callback')) == 3" || true
    end_session
}

doctor_() { without "$1" && "${user[@]}" "$loopwatch" doctor "${@:2}"; }
named_="[sum('sleep_too_long' in n for n in names(x['stack'])) for x in of('slow_callback')]"

# --- a target of another user, whose program others cannot read ---
chmod 711 "$work"
mkdir -m 700 "$work/home"
cp "$fixtures/stall" "$work/home/stall"
chown -R 65534:65534 "$work/home"
chmod 700 "$work/home/stall"
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
start_fixture target "${as_nobody[@]}" "$work/home/stall" --dir "$work/home" sleep 3 40

# --- with all ---
check_status "with all eight, doctor finds that a session works" 0 doctor_ none
for capability in "${every[@]}"; do
    check "doctor: $(row_ "$capability") is there" grep -qE "^ok +$(row_ "$capability") " "$work/stdout"
done
check "and does not claim that the symbol worker is another user" grep -qE '^ok +symbol worker +confined: your own user' "$work/stdout"
observe all none "$target" target
check_equal "three stalls are reported, with the names of another user's program" "[1, 1, 1]" "$(records all "$named_")"
check_equal "the report is complete, and has no warning" "complete []" "$(records all "r[-1]['completeness'] + ' ' + str([x['text'] for x in of('warning')])")"

# --- without what a session cannot do without ---
for capability in bpf perfmon sys_ptrace; do
    row=$(row_ "$capability")
    check_status "without $row doctor says that no session works" 4 doctor_ "$capability"
    check "and names it" grep -qE "^MISSING +$row +nothing can be watched from outside" "$work/stdout"
    check_equal "and no other" 1 "$(grep -cE '^(MISSING|degraded) +CAP_' "$work/stdout")"
    without "$capability"
    check_status "without $row a session is refused" 4 "${user[@]}" "$loopwatch" -p "$target"
    check "with its name and a hint" grep -qE "^loopwatch: privileges: no $row \(hint: run as root" "$work/stderr"
done

# --- without one that only some of it takes ---
for capability in dac_read_search checkpoint_restore syslog sys_nice kill; do
    row=$(row_ "$capability")
    check_status "without $row doctor finds that a session works" 0 doctor_ "$capability"
    check "and says what is missing" grep -qE "^degraded +$row +.*[a-z]" "$work/stdout"
    check_equal "and no other capability" 1 "$(grep -cE '^(MISSING|degraded) +CAP_' "$work/stdout")"
done
for capability in checkpoint_restore syslog sys_nice kill; do
    observe "no_$capability" "$capability" "$target" target
    check_equal "without $(row_ "$capability") three stalls are reported with names, and the report is complete" "[1, 1, 1] complete" \
        "$(records "no_$capability" "str($named_) + ' ' + r[-1]['completeness']")"
done

# --- files ---
without dac_read_search
check_status "without CAP_DAC_READ_SEARCH a program that only its user may read is refused" 4 "${user[@]}" "$loopwatch" -p "$target"
check "with a hint" grep -qE "^loopwatch: process $target belongs to another user \(hint: run loopwatch with sudo\)" "$work/stderr"
chmod 755 "$work/home/stall"
check_status "one that all may read can be watched" 0 doctor_ dac_read_search -p "$target"
check "but its file was not reached, which doctor says" \
    grep -qE '^degraded +note +1 mapped files could not be opened: their frames stay without names' "$work/stdout"
watch_without unread dac_read_search "$target"
for _ in 1 2; do ask target go '^done' || fail "not done"; done  # a loop without probes is known once it has waited
check "without it a stall is reported still, with what it called in libc" wait_until 10 has_record unread \
    "any('nanosleep' in n for x in of('slow_callback') for n in names(x['stack']))"
end_session
check_equal "but without names of its program" 0 "$(records unread "sum(sum(l) for l in [$named_])")"
check "and the report is called limited" has_record unread "r[-1]['completeness'] == 'limited'"

cp "$fixtures/stall" "$work/home/old"
chmod 755 "$work/home" "$work/home/old"
chown 65534:65534 "$work/home/old"
start_fixture replaced "${as_nobody[@]}" "$work/home/old" --dir "$work/home" sleep 3 40
rm "$work/home/old"
observe deleted none "$target" replaced
check_equal "a program whose file was deleted has names" "[1, 1, 1]" "$(records deleted "$named_")"
watch_without gone checkpoint_restore "$target"
for _ in 1 2; do ask replaced go '^done' || fail "not done"; done
check "without CAP_CHECKPOINT_RESTORE its stalls are reported still" wait_until 10 has_record gone "of('slow_callback')"
end_session
check_equal "but without names of its program" 0 "$(records gone "sum(sum(l) for l in [$named_])")"
check_status "and can be watched, says doctor" 0 doctor_ checkpoint_restore -p "$target"
check "without its file" grep -qE '^degraded +note +1 mapped files could not be opened' "$work/stdout"

# --- the kernel's symbols ---
woken_="sorted({s['woken_by'] for x in of('slow_callback') for s in x['sources']})"
check_equal "a timer ended the sleeps" "['timer']" "$(records all "$woken_")"
without syslog
if "${user[@]}" grep -qm1 -v '^0000000000000000 ' /proc/kallsyms; then
    skip_check "what ended a sleep" "all users may read the kernel's symbols here (kernel.kptr_restrict, kernel.perf_event_paranoid)"
else
    check_not "without CAP_SYSLOG that is not known" has_record no_syslog "'timer' in $woken_"
fi
