#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Once attached, the core has the capabilities that attaching to other processes takes, and no others; it can start nothing, connect to
# nothing and load nothing. It still attaches to what comes later. A program that `run` starts has what it would have without.
# Runs alone: it judges descriptors and memory of a session whose worker dies all the time.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command gdb setpriv
need_program "$loopwatch" "$fixtures/stall"

of_() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }
child_() { pgrep -P "$1" -x "$2"; }
# call PID NUMBER ARGUMENTS…: what the system call returns in a process, -1 with errno; a debugger makes it.
call_() {
    local pid=$1
    gdb -p "$pid" -batch -nx -ex "print ((long (*)(long, ...)) syscall)($2)" -ex 'print *(int *) __errno_location()' 2>/dev/null |
        awk '/^\$[0-9]+ = / { printf "%s ", $3 }'
}

# KILL SYS_PTRACE DAC_READ_SEARCH SYS_NICE SYSLOG PERFMON BPF CHECKPOINT_RESTORE; and SYS_ADMIN where perf_event_open takes it.
kept=$((1 << 5 | 1 << 19 | 1 << 2 | 1 << 23 | 1 << 34 | 1 << 38 | 1 << 39 | 1 << 40))
[ "$(cat /proc/sys/kernel/perf_event_paranoid)" -lt 3 ] || kept=$((kept | 1 << 21))
more_than_kept_() { (((16#$(of_ "$1" "$2") & ~kept) != 0)); }

# --- a session of what comes later, by another user ---
name=lw-least-$$
mkdir -m 700 "$work/home"
cp "$fixtures/stall" "$work/home/$name"
chmod 711 "$work"
chown -R nobody "$work/home"
start_background later "$loopwatch" -n "$name" --wait --format ndjson --threshold 20ms
session=$started
wait_output later 15 '"type":"session_start"' || fail "loopwatch did not start"
for set in CapPrm CapEff CapBnd CapInh CapAmb; do
    check_not "$set of the core has nothing that attaching does not take: $(of_ "$session" $set)" more_than_kept_ "$session" $set
done
check_equal "and it gets no others" 1 "$(of_ "$session" NoNewPrivs)"
check_equal "its system calls are filtered" 2 "$(of_ "$session" Seccomp)"
check_equal "the zygote has no capability, and its calls are filtered" "0000000000000000 1 2" \
    "$(zygote=$(child_ "$session" loopwatch-zyg) && echo "$(of_ "$zygote" CapPrm) $(of_ "$zygote" NoNewPrivs) $(of_ "$zygote" Seccomp)")"

check_not "a target that runs as nobody cannot end it" setpriv --reuid=65534 --regid=65534 --clear-groups -- \
    sh -c "kill -KILL $(child_ "$session" loopwatch-zyg)"
start_fixture visitor setpriv --reuid=65534 --regid=65534 --clear-groups -- "$work/home/$name" --dir "$work/home" lock 3 40
check "a process of another user that starts later is attached to" wait_until 10 has_record later "$target in {x['pid'] for x in of('target_start')}"
ask visitor go '^done' || fail "not done"
end_session
check "and its findings have functions and lines" has_record later \
    "len(of('slow_callback')) == 3 and all(any('wait_for_lock' in (f['function'] or '') and f['line'] > 0 for f in x['stack']) for x in of('slow_callback'))"
check_equal "with nothing lost" "{}" "$(records later '{k: v for k, v in r[-1]["lost"].items() if v}')"
tell visitor quit

# --- what the core may not do ---
start_fixture target "$fixtures/stall" --dir "$work" lock 3 40
watch tried "$target" --threshold 20ms
start_background plain sleep 60
if [ "$(call_ "$started" 39)" = "$started 0 " ]; then
    refused() { check_equal "$1" "-1 1 " "$(call_ "$session" "$2")"; }
    refused "it runs nothing" '59, "/bin/true", 0, 0'
    refused "it forks nothing" '57'
    refused "it connects to nothing" '41, 2, 1, 0'
    refused "it writes to no other memory" "311, $target, 0, 0, 0, 0, 0"
    refused "it traces nobody" "101, 16, $target, 0, 0"
    refused "it loads no module" '313, 0, "", 0'
    refused "it mounts nothing" '165, "none", "/mnt", "tmpfs", 0, 0'
    refused "it gets no memory that could be run" '9, 0, 4096, 7, 34, -1, 0'
    check_equal "a call that is not known yet does not exist" "-1 38 " "$(call_ "$session" 1000)"
else
    skip_check "what it may not do" "gdb cannot call functions on this processor"
fi
stop "$started" KILL
ask target go '^done' || fail "not done"
end_session
check_equal "a debugger's calls did not end it" "0 3" "$stopped_status $(records tried "len(of('slow_callback'))")"

# --- the worker dies all the time ---
watch dying "$target" --threshold 20ms
ask target go '^done' || fail "not done"
wait_until 5 has_record dying "len(of('slow_callback')) == 3" || fail "no findings"
anonymous_() { awk '$1 == "RssAnon:" { print $2 }' "/proc/$session/status"; }
descriptors_() { find "/proc/$session/fd" -mindepth 1 | wc -l; }
before=$(descriptors_) before_kib=$(anonymous_)
another_() { worker=$(child_ "$session" loopwatch-sym) && [ "$worker" != "$victim" ]; }
victim=0
for death in {1..20}; do
    wait_until 5 another_ || fail "no worker after $((death - 1)) deaths"
    victim=$worker
    kill -KILL "$victim"
    wait_until 5 [ ! -e "/proc/$victim" ] || fail "a zombie is left"
    ask target go '^done' || fail "not done"
done
check "20 deaths of its worker, 63 findings" wait_until 10 has_record dying "len(of('slow_callback')) == 63"
# A file of the worker's request or a sample may be open at any moment.
check "as many descriptors as before, to three: $before, $(descriptors_)" test "$(descriptors_)" -le $((before + 3))
check "and no more memory: $before_kib KiB, $(anonymous_) KiB" test "$(anonymous_)" -lt $((before_kib + 2048))
check_equal "two children: a zygote, a worker" 2 "$(pgrep -P "$session" | wc -l)"
worker=$(child_ "$session" loopwatch-sym) || fail "no worker"
check_not "none of which has the kernel side's maps in memory" grep -q bpf-map "/proc/$worker/maps"
check_equal "nor its descriptors" "" "$(find "/proc/$worker/fd" -type l -printf '%l\n' | grep -E 'bpf|perf|eventpoll|timerfd' || true)"

# --- without the zygote ---
kill -KILL "$(child_ "$session" loopwatch-zyg)"
kill -KILL "$worker"
ask target go '^done' || fail "not done"
check "without the zygote the findings stay" wait_until 10 has_record dying "len(of('slow_callback')) == 66"
check_equal "and a warning says once what they lack" 1 "$(records dying "sum('the process that starts symbol workers has ended' in x['text'] for x in of('warning'))")"
end_session
# Stacks that were unwound before keep their names.
check "if one lacks names it is counted" has_record dying \
    "any(not f['function'] for x in of('slow_callback')[-3:] for f in x['stack']) <= (r[-1]['lost']['symbol_worker'] > 0)"

watch killed "$target" --threshold 20ms
mapfile -t children < <(pgrep -P "$session")
stop "$session" KILL
all_ended_() { for child in "${children[@]}"; do is_gone_ "$child" || return 1; done; }
check_equal "a core has two children" 2 "${#children[@]}"
check "which end with it, however it ends" wait_until 5 all_ended_
check "and nothing of it stays in the target" wait_until 5 is_untouched "$target"
tell target quit

# --- what run starts ---
plain=$(grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status)
for side in "" --inside; do
    # shellcheck disable=SC2086
    check_equal "a program under run ${side:-from outside} has the privileges that it has without" "$plain" \
        "$("$loopwatch" run $side -o /dev/null --format ndjson -- grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status 2>/dev/null)"
    # shellcheck disable=SC2086
    start_background "started$side" "$loopwatch" run $side --format ndjson -o "$work/started$side.report" -- sleep 60
    confined_() { [ "$(of_ "$started" Seccomp)" = 2 ]; }
    check "and the core that started it is confined" wait_until 10 confined_
    for set in CapEff CapBnd; do
        check_not "$set: $(of_ "$started" $set)" more_than_kept_ "$started" $set
    done
    stop "$started" TERM
done

# --- what is written at the end ---
start_background baseline "$loopwatch" run --write-baseline "$work/home/baseline" -- sleep 0.1
wait "$started" || true
check "a baseline is written into another user's directory" test -s "$work/home/baseline"
