#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Whatever happens to the target or to loopwatch, the target is unharmed and nothing of loopwatch stays: no BPF object, no
# breakpoint, no raised semaphore, no mapping, no descriptor.
# Runs beside others, 20 s: what stays behind does not depend on time, and its stalls are longer than a wait for a CPU.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command bpftool readelf mkfifo g++
need_program "$loopwatch" "$fixtures/stall" "$fixtures/clean_loop" "$fixtures/forker"

# watched NAME PID [OPTION…]: a session whose BPF ids stand in $work/NAME.ids. The test sees nothing if they are none.
watched() {
    watch "$@"
    bpf_ids "$session" >"$work/$1.ids"
    check "$1: the session holds links and programs, which bpftool sees" \
        eval "grep -q ^link '$work/$1.ids' && [ \"\$(surviving_ids '$work/$1.ids')\" = \"\$(cat '$work/$1.ids')\" ]"
    check "$1: breakpoints and semaphores are in the target" eval "! is_untouched $2"
}

# nothing_stays NAME [PID]: of a session that has ended; PID is its target if that lives.
nothing_stays() {
    check "$1: every BPF link, program and map is gone" wait_until 5 all_gone "$work/$1.ids"
    if [ -n "${2:-}" ]; then check_equal "$1: the target's memory is as before" "$untouched_" "$(memory_of "$2")"; fi
}

# --- the target is killed ---
start_fixture victim "$fixtures/clean_loop" 2
watched killed-target "$target"
kill -s KILL "$target"
check "the target is killed: the session ends by itself" ended_with "$session"
check_equal "with exit status 0" 0 "$ended_status"
check "it says target_end and a summary" has_record killed-target \
    'r[-1]["type"] == "session_end" and r[-2]["type"] == "target_end" and r[-2]["reason"] == "exited"'
nothing_stays killed-target

# --- the target is stopped in the middle of a dispatch ---
start_fixture stopped "$fixtures/stall" --dir "$work" cpu 1 400
watched stopped-session "$target"
tell stopped go
is_on_cpu_() { grep -qE '^State:[[:space:]]*R' "/proc/$target/status"; }
wait_until 5 is_on_cpu_ || fail "the dispatch did not begin"
kill -s STOP "$target"
is_stopped_() { grep -qE '^State:[[:space:]]*T' "/proc/$target/status"; }
wait_until 5 is_stopped_ || fail "the target did not stop"
sleep 0.3  # how long it is stopped: what the report is held against
kill -s CONT "$target"
wait_output stopped 10 '^done'
end_session
check "SIGSTOP in a dispatch: reported with the time it was stopped (0.3 s), a source of that kind, and a split that sums" \
    has_record stopped-session \
    'len(of("slow_callback")) == 1 and (lambda s: s["breakdown"]["stopped_ns"] > 250e6 and sum(s["breakdown"].values()) == s["duration_ns"]
     and any(x["kind"] == "stopped" for x in s["sources"]))(of("slow_callback")[0])'
check "the target goes on" ask stopped 'go sleep 1 1' '^done'
nothing_stays stopped-session "$target"
tell stopped quit

# --- the target forks ---
start_fixture forks "$fixtures/forker"
watched forks-session "$target"
for way in fork fork_loop vfork spawn; do
    ask forks "$way 40" "^$way " 60 || fail "$way"
    check_equal "$way while watched: every child lives" "$way 40 of 40" "$answer"
done
ask forks linger '^linger' || fail "linger"
child=${answer#linger }
ask forks stall '^stall' || fail "stall"
end_session
check_equal "the children are no findings, the parent's stall is one" 1 "$(records forks-session 'len(of("slow_callback"))')"
nothing_stays forks-session "$target"
check "a child that outlives the session goes on" ask forks end '^end 7'
check_not "and has ended" test -e "/proc/$child"
tell forks quit

# --- the target allows itself no system calls but its own, and dies of any other ---
cat >"$work/restricts.cpp" <<'CPP'
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <loopwatch/join.hpp>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int, char** argv)
{
    loopwatch::LoopProbes probes("restricts");
    probes.start();
    constexpr unsigned allowed[] = {SYS_openat, SYS_write, SYS_exit_group, SYS_futex};
    constexpr unsigned calls = sizeof allowed / sizeof *allowed;
    sock_filter filter[calls + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (unsigned i = 0; i < calls; ++i) filter[i + 1] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], static_cast<unsigned char>(calls - i), 0);
    filter[calls + 1] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[calls + 2] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const sock_fprog program = {calls + 3, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) std::exit(2);
    probes.begin(nullptr);
    open(argv[1], O_RDONLY);  // a FIFO
    probes.end();
    _exit(write(1, "served\n", 7) != 7);
}
CPP
g++ -std=c++20 -O1 -g -I "$root/runtime_probes/include" -o "$work/restricts" "$work/restricts.cpp" -pthread -ldl || fail "restricts does not compile"
mkfifo "$work/opened"
start_background restricts "$loopwatch" run --format ndjson -o "$work/restricts.ndjson" -- "$work/restricts" "$work/opened"
runs=$started
began_() { grep -qs "/opened" "/proc/$(pgrep -P "$runs" -x restricts)/cmdline" && grep -q '^Seccomp:[[:space:]]*2' "/proc/$(pgrep -P "$runs" -x restricts)/status"; }
wait_until 10 began_ || fail "restricts did not begin"
sleep 0.2  # how long its open is to block
: >"$work/opened"
ended_with "$runs" || fail "the session does not end"
check_equal "a target under a strict seccomp filter serves on with the shim in it" "0 served" "$ended_status $(cat "$work/restricts.out")"
mv "$work/restricts.ndjson" "$work/restricts.out"
check "and what blocked it is named" has_record restricts '[x["call"] for x in of("blocking_call")] == ["open"]'

# --- loopwatch is killed ---
start_fixture survivor "$fixtures/clean_loop" 2
before=$(resources_of "$target")
watched killed-session "$target"
ask survivor count '^count' || fail "count"
stop "$session" KILL
nothing_stays killed-session "$target"
first=${answer#count }
more_work_() { ask survivor count '^count' && [ "${answer#count }" -gt $((first + 1000)) ]; }
check "loopwatch is killed by SIGKILL: the target goes on and answers" wait_until 10 more_work_
watched after-kill "$target"
ask survivor stall '^stall'
end_session
check_equal "a session after that finds what the target does" 1 "$(records after-kill 'len(of("slow_callback"))')"

# --- and normal ends, many of them ---
nothing_stays after-kill "$target"
cycles=${LOOPWATCH_CYCLES:-100}  # fewer where each takes seconds: scripts/test-kernel
for ((i = 0; i < cycles; i++)); do
    "$loopwatch" -p "$target" --format ndjson --duration 1ms >"$work/cycle.out" 2>&1 || fail "session $i: $(cat "$work/cycle.out")"
done
check_equal "$cycles sessions leave nothing in its memory" "$untouched_" "$(memory_of "$target")"
check_equal "nor a descriptor or a mapping" "$before" "$(resources_of "$target")"
check "it still answers" ask survivor count '^count'
tell survivor quit
