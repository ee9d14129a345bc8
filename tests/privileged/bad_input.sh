#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What cannot be done is refused with one line that names it, one that mends it, and its exit code; nothing is left attached. What
# can be done only in part is done, with a warning.
# Runs alone: it counts the sessions that run on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command setpriv capsh unshare mkfifo
need_program "$loopwatch" "$fixtures/stall" "$fixtures/newer_abi" "$fixtures/static_program"

start_fixture server "$fixtures/stall" --dir "$work" sleep 1 150
server=$target

# Our processes that run loopwatch: by program file, so that other builds do not count.
runs_() { find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$loopwatch" 2>/dev/null | wc -l; }
nobody_runs_() { [ "$(runs_)" -eq 0 ]; }

# refused SENTENCE STATUS PATTERN HINT COMMAND…: exit status, one line on what is wrong that matches PATTERN, with a hint that
# matches HINT (empty: it needs none), nothing else, nothing on stdout, nothing attached, no process left.
refused() {
    local sentence=$1 status=$2 pattern=$3 hint=$4 limit=(timeout 30)
    shift 4
    if declare -F "$1" >/dev/null; then limit=(); fi  # timeout runs programs only
    check_status "$sentence: exit status $status" "$status" "${limit[@]}" "$@"
    check_equal "$sentence: one line" 1 "$(grep -c '^loopwatch: ' "$work/stderr" || true)"
    check "$sentence: which names it" grep -qE -- "^loopwatch: .*($pattern)" "$work/stderr"
    if [ -n "$hint" ]; then check "$sentence: and what mends it" grep -qE -- "\(hint: .*($hint)" "$work/stderr"; fi
    check_equal "$sentence: nothing else is said" "" "$(grep -v '^loopwatch: ' "$work/stderr" || true)$(cat "$work/stdout")"
    check "$sentence: nothing is left attached or running" eval "is_untouched $server && wait_until 5 nobody_runs_"
}

# in_own_mounts COMMANDS ARGUMENT…: in a mount namespace of its own.
in_own_mounts() { unshare --mount sh -ec "$1"' exec timeout 30 "$@"' - "${@:2}"; }

# --- values ---
refused "threshold 0" 2 'threshold.*0' '' "$loopwatch" -p "$server" --threshold 0
refused "threshold -5ms" 2 'threshold.*-5ms' '' "$loopwatch" -p "$server" --threshold -5ms
refused "threshold abc" 2 'threshold.*abc' '' "$loopwatch" -p "$server" --threshold abc
refused "threshold 10" 2 'threshold.*10' 'did you mean 10ms' "$loopwatch" -p "$server" --threshold 10
refused "a threshold below the floor" 2 'threshold 20 us is below the floor.*100 us' 'LOOPWATCH_FLOOR|--trace' \
    "$loopwatch" -p "$server" --threshold 20us
refused "a finding that does not exist" 2 'fail-on.*nonsense' 'slow_callback' "$loopwatch" -p "$server" --fail-on nonsense
refused "no target" 2 '.' '' "$loopwatch"
refused "an option that does not exist" 2 'no-such-option' '' "$loopwatch" -p "$server" --no-such-option

# --- targets ---
true &
gone=$!
wait "$gone"
refused "a pid that does not exist" 5 "no process.*$gone" '' "$loopwatch" -p "$gone"
if [ "$(cat /proc/2/comm 2>/dev/null)" = kthreadd ]; then
    refused "a kernel thread" 5 '2 is a kernel thread' 'user program' "$loopwatch" -p 2
else
    skip_check "a kernel thread" "this PID namespace shows none"
fi
start_background parent bash -c 'sleep 0.2 & exec sleep 1000'  # which does not reap
zombie_of_() { zombie=$(pgrep -P "$1") && grep -q '^State:[[:space:]]*Z' "/proc/$zombie/status"; }
wait_until 5 zombie_of_ "$started" || fail "no zombie"
zombie=$(pgrep -P "$started")
refused "a zombie" 5 "$zombie has ended.*zombie" '' "$loopwatch" -p "$zombie"
watch beside-zombie "$zombie,$server"
end_session
check "a zombie beside a process that can be watched is left out, with a warning" has_record beside-zombie \
    "any('process $zombie is not watched' in w for w in of('session_start')[0]['warnings']) and [t['pid'] for t in of('target_start')] == [$server]"
check_status "ps beside a zombie lists the other" 0 "$loopwatch" ps -p "$zombie,$server" --format ndjson
check "with a warning" grep -q "process $zombie is not listed: .*zombie" "$work/stderr"
check_equal "and nothing of another" "[$server]" \
    "$(/usr/bin/python3 -c 'import json, sys; print(sorted({json.loads(l)["pid"] for l in sys.stdin}))' <"$work/stdout")"
start_background few bash -c 'ulimit -Sn 64; exec "$@"' - "$loopwatch" -p "$server" --format ndjson
wait_output few 15 '"type":"session_start"' || fail "no session with few descriptors"
check_equal "a soft limit of open files is raised to the hard one" "$(ulimit -Hn)" \
    "$(awk '/^Max open files/ { print $4 }' "/proc/$started/limits")"
end_session "$started"
start_fixture threads "$fixtures/stall" --dir "$work" sleep 1 150
thread=$(find "/proc/$target/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vx "$target" | head -n 1)
refused "a thread's id" 5 "$thread is a thread" 'process' "$loopwatch" -p "$thread"
tell threads quit

if [ -x "$fixtures/program_32bit" ]; then
    start_background thirty_two "$fixtures/program_32bit"
    sleep 0.2 # it would die at once
    if is_gone_ "$started"; then
        skip_check "a 32-bit target" "this machine runs no 32-bit programs"
    else
        refused "a 32-bit target" 4 "$started is not a 64-bit" 'x86-64' "$loopwatch" -p "$started"
    fi
else
    skip_check "a 32-bit target" "the compiler cannot build for 32 bits"
fi

# A target that ends while we attach: killed at each moment of the start, which takes longer on a busy machine. Either it is gone (5), or
# the session had begun (0).
for ((i = 0, begun = 0; i <= 200 || (i <= 1000 && !begun); i += 10)); do
    start_fixture "mortal-$i" "$fixtures/stall" --dir "$work" sleep 1 150
    start_background "attach-$i" "$loopwatch" -p "$target" --format ndjson
    attaching=$started
    sleep "$(printf '0.%03d' "$i")"
    kill -s KILL "$target"
    if ! ended_with "$attaching" 10; then fail_ "$i ms: loopwatch does not end"; continue; fi
    printf '%s\n' "$ended_status" >>"$work/ends"
    case $ended_status in
    0) begun=1; has_record "attach-$i" 'r[-1]["type"] == "session_end"' || fail_ "$i ms: a session without an end" ;;
    5) [ "$(grep -c '^loopwatch: ' "$work/attach-$i.err")" -eq 1 ] || fail_ "$i ms: $(cat "$work/attach-$i.err")" ;;
    *) fail_ "$i ms: exit status $ended_status: $(cat "$work/attach-$i.err")" ;;
    esac
done
check_equal "a target that ends while attaching: 5, or 0 once the session had begun" $'0\n5' "$(sort -u "$work/ends")"
check "and nobody is left running" wait_until 5 nobody_runs_

# --- rights ---
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if "${nobody[@]}" test -x "$loopwatch"; then
    refused "another user's process, without any right" 4 'CAP_BPF' 'sudo|root' "${nobody[@]}" "$loopwatch" -p "$server"
    # With the right to load programs, but not to look into others' processes.
    refused "another user's process, without CAP_SYS_PTRACE" 4 'CAP_SYS_PTRACE|another user' 'sudo|root' \
        setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+bpf,+perfmon --ambient-caps=+bpf,+perfmon "$loopwatch" -p "$server"
else
    skip_check "another user's process" "$loopwatch cannot be run by other users"
fi
# shellcheck disable=SC2016
refused "no CAP_BPF" 4 'CAP_BPF' 'sudo|root|CAP_BPF' capsh --drop=cap_sys_admin,cap_bpf -- -c 'exec "$0" "$@"' "$loopwatch" -p "$server"

# --- the machine ---
if unshare --mount true 2>/dev/null; then
    refused "no BTF" 4 '/sys/kernel/btf/vmlinux' 'CONFIG_DEBUG_INFO_BTF' \
        in_own_mounts 'mount -t tmpfs none /sys/kernel/btf;' "$loopwatch" -p "$server"
    start_background untraced unshare --mount sh -ec '
        for at in /sys/kernel/tracing /sys/kernel/debug; do mount -t tmpfs none $at; done; exec "$@"' - \
        "$loopwatch" -p "$server" --format ndjson
    session=$started
    wait_output untraced 15 '"type":"session_start"' || fail "no session without tracefs"
    ask server go '^done' || fail "not done"
    end_session
    check_equal "no tracefs: not needed" "0 1" "$stopped_status $(records untraced 'len(of("slow_callback"))')"
else
    skip_check "no BTF, no tracefs" "cannot make a mount namespace"
fi

# --- output ---
refused "an output directory that does not exist" 1 '/nowhere/report' '' "$loopwatch" -p "$server" -o /nowhere/report
refused "an output that is a directory" 1 "$work" '' "$loopwatch" -p "$server" -o "$work"
refused "an output that is a full device" 1 '/dev/full: No space left' 'free some space' "$loopwatch" -p "$server" -o /dev/full
if unshare --mount true 2>/dev/null; then
    mkdir "$work/small"
    refused "the disk is full" 1 'small/report.*No space left on device' '' \
        in_own_mounts "mount -t tmpfs -o size=16k none '$work/small';" "$loopwatch" -p "$server" --interval 100ms --format ndjson -o "$work/small/report"
fi
status=0
timeout 30 "$loopwatch" -p "$server" --format ndjson >/dev/full 2>"$work/stderr" || status=$?
check_equal "stdout is full" "1 1" "$status $(grep -c '^loopwatch: .*No space left on device' "$work/stderr" || true)"

status=0
timeout 30 "$loopwatch" -p "$server" --duration 1s -o "$work/first.out" --format ndjson -o /dev/full --format ndjson 2>"$work/stderr" || status=$?
check_equal "one of two outputs is full from the start: the other is complete" "1 session_end output_failed" \
    "$status $(records first 'r[-1]["type"], r[-1]["reason"]' | tr -d "(',)")"

# A reader that takes nothing: the session sleeps until it does.
mkfifo "$work/idle.fifo"
exec 8<>"$work/idle.fifo"
pipe_() { /usr/bin/python3 -c "import array, fcntl, termios; $1"; }
pipe_ 'fcntl.fcntl(8, 1031, 4096)' # F_SETPIPE_SZ
start_background idle "$loopwatch" -p "$server" --interval 100ms -o "$work/idle.fifo" --format ndjson
idle=$started
ticks_of() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
is_full() { pipe_ 'n = array.array("i", [0]); fcntl.ioctl(8, termios.FIONREAD, n); exit(n[0] < 500)'; }
wait_until 20 is_full || fail "the FIFO does not fill"
before=$(ticks_of "$idle")
sleep 2  # what it takes meanwhile is measured
took=$(($(ticks_of "$idle") - before))
check "an output that takes nothing is waited for asleep: $took of 200 ticks" test "$took" -lt 100
stop "$idle" TERM
exec 8>&-

# --- less than all: warnings, no errors ---
start_fixture later "$fixtures/newer_abi"
watch later-session "$target"
ask later dispatch '^dispatched' || fail "not dispatched"
end_session
check_equal "probes of a newer ABI: the session ends with 0" 0 "$stopped_status"
check "a warning says so, and what mends it" has_record later-session \
    'any("newer" in w and "ABI" in w and "update" in w for w in of("session_start")[0]["warnings"])'
check "ps says so too" grep -q "newer version of the probes' ABI" <("$loopwatch" ps -p "$target" 2>&1)
check_equal "nothing is claimed of what cannot be read" 0 "$(records later-session 'len(of("slow_callback", "blocking_call", "stall"))')"
check "and nothing stays" is_untouched "$target"
tell later quit

start_fixture static "$fixtures/static_program"
watch static-session "$target"
ask static stall '^stall' || fail "no stall"
end_session
check_equal "a static target: the session ends with 0 and has found its stall" "0 1" \
    "$stopped_status $(records static-session 'len(of("slow_callback"))')"
check "a warning says what cannot be done" has_record static-session 'any("static" in w for w in of("session_start")[0]["warnings"])'
check "its stack is named" has_record static-session 'any("hold_the_loop" in n for n in names(of("slow_callback")[0]["stack"]))'
tell static quit

check "after all of that the server is as before" is_untouched "$server"
check "and answers" ask server go '^done'
tell server quit
