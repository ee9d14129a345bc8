#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What is not the code's fault is said so: a cgroup's CPU quota, another program on the CPU, a stop; each in its own part of the breakdown.
# Runs alone: it makes the CPU scarce itself.
. "$(dirname "$0")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/stall"

sums_up() { has_record "$1" 'all(sum(x["breakdown"].values()) == x["duration_ns"] for x in of("slow_callback"))'; }
part() { records "$1" "sum(x['breakdown']['$2'] for x in of('slow_callback'))"; }

# --- quota ---
group=''
for root_ in /sys/fs/cgroup /sys/fs/cgroup/cpu; do
    if [ -e "$root_/cgroup.controllers" ]; then echo +cpu >"$root_/cgroup.subtree_control" 2>/dev/null || true; fi
    if mkdir "$root_/loopwatch-test-$$" 2>/dev/null; then
        group=$root_/loopwatch-test-$$
        if [ -e "$group/cpu.max" ] || [ -e "$group/cpu.cfs_quota_us" ]; then break; fi
        rmdir "$group"
        group=''
    fi
done
throttled_us() { awk '/^throttled_usec/ { print $2 } /^throttled_time/ { print int($2 / 1000) }' "$group/cpu.stat"; }
if [ -n "$group" ]; then
    start_fixture quota "$fixtures/any_loop" --dir "$work" epoll
    ask quota rest '^done'
    if [ -e "$group/cpu.max" ]; then echo "20000 100000" >"$group/cpu.max"; else
        echo 100000 >"$group/cpu.cfs_period_us"
        echo 20000 >"$group/cpu.cfs_quota_us"
    fi
    echo "$target" >"$group/cgroup.procs"
    watch quota-report "$target"
    before=$(throttled_us)
    ask quota "go cpu 3 300" '^done' 60
    after=$(throttled_us)
    end_session
    check_equal "out of its CPU quota: 3 findings" 3 "$(records quota-report 'len(of("slow_callback"))')"
    check "each says so" has_record quota-report \
        'all("throttled by its CPU quota" in x["verdict"] and any(s["kind"] == "cpu_throttle" for s in x["sources"]) for x in of("slow_callback"))'
    told=$(($(part quota-report throttled_ns) / 1000)) counted=$((after - before))
    # A wait whose end the kernel showed nobody is counted, and not told.
    unseen=$(($(records quota-report 'r[-1]["lost"]["switch_unseen"]') * 100000))
    check "for as long as the kernel counted: $told of $counted us" test $(((told + unseen) * 100)) -gt $((counted * 90)) -a $((told * 100)) -lt $((counted * 105))
    check "and all parts sum up" sums_up quota-report
    tell quota quit
    stop "$target"
    rmdir "$group"
else
    skip_check "out of its CPU quota" "no cgroup can be made here"
fi

# --- another program ---
cpu=$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')
start_fixture crowded taskset -c "$cpu" "$fixtures/any_loop" --dir "$work" epoll
ask crowded rest '^done'
start_background hog taskset -c "$cpu" /usr/bin/python3 -c 'while True: pass'
hog=$started
renice -n -15 -p "$hog" >/dev/null 2>&1 || true
watch crowded-report "$target"
ask crowded "go cpu 3 300" '^done' 60
end_session
stop "$hog"
check_equal "beside a program that has the CPU: 3 findings" 3 "$(records crowded-report 'len(of("slow_callback"))')"
check "each says who had it, and for most of the time" has_record crowded-report \
    'all("preempted by python3" in x["verdict"] and any(s["args"]["preempted_percent"] > 70 for s in x["sources"] if s["kind"] == "run_queue") for x in of("slow_callback"))'
check "the wait for a CPU is most of it" test "$(part crowded-report runq_ns)" -gt "$(part crowded-report cpu_ns)"
check "and all parts sum up" sums_up crowded-report
tell crowded quit

# --- another program that is moved away, by a thread of the kernel which has the CPU for a moment ---
other_cpu=$(/usr/bin/python3 -c "import os; print(*sorted(os.sched_getaffinity(0) - {$cpu})[:1])")
if [ -n "$other_cpu" ]; then
    start_fixture moved taskset -c "$cpu" "$fixtures/any_loop" --dir "$work" epoll
    ask moved rest '^done'
    start_background mover /usr/bin/python3 -c "
import os, time
if os.fork() == 0:
    os.nice(-15)
    while os.getppid() != 1: pass
    os._exit(0)
hog = int(open('/proc/thread-self/children').read())
while os.getppid() != 1:
    for cpu in $cpu, $other_cpu:
        os.sched_setaffinity(hog, {cpu})
        time.sleep(0.02)"
    mover=$started
    watch moved-report "$target"
    ask moved "go cpu 3 400" '^done' 60
    end_session
    stop "$mover"
    check_equal "beside a program that is moved to and fro: 3 findings" 3 "$(records moved-report 'len(of("slow_callback"))')"
    check "who moves it is not named: $(records moved-report '[x["verdict"] for x in of("slow_callback")]')" \
        has_record moved-report 'not any("migration" in x["verdict"] for x in of("slow_callback"))'
    tell moved quit
else
    skip_check "beside a program that is moved to and fro" "there is one CPU only"
fi

# --- another thread of its own ---
start_fixture own taskset -c "$cpu" "$fixtures/stall" --loops 2 --dir "$work" cpu 1 400
watch own-report "$target"
ask own go '^done' 60
end_session
check "two loops on one CPU preempt each other, by thread" has_record own-report \
    'all("preempted by its own thread" in x["verdict"] for x in of("slow_callback"))'
tell own quit

# --- stopped ---
start_fixture stopped "$fixtures/any_loop" --dir "$work" epoll
watch stopped-report "$target"
kill -s STOP "$target"
# Not a synchronisation: the time for which it is stopped.
sleep 0.4
kill -s CONT "$target"
check "stopped for 400 ms: a finding says so" wait_until 5 has_record stopped-report \
    'any(x["sources"][0]["kind"] == "stopped" and x["breakdown"]["stopped_ns"] > 350e6 for x in of("slow_callback"))'
end_session
check_equal "once" 1 "$(records stopped-report 'len(of("slow_callback"))')"
check "and all parts sum up" sums_up stopped-report
tell stopped quit

# --- traced: a debugger or a tracer that stops it again and again ---
cat >"$work/tracer.py" <<'PY'
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
CONT, SEIZE, INTERRUPT, WALL = 7, 0x4206, 0x4207, 0x40000000
tid = int(sys.argv[1])
if libc.ptrace(SEIZE, tid, None, None) != 0: sys.exit("cannot trace")
print("traces", flush=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    time.sleep(0.02)
    libc.ptrace(INTERRUPT, tid, None, None)
    os.waitpid(tid, WALL)
    time.sleep(0.005)
    libc.ptrace(CONT, tid, None, None)
PY
start_fixture traced "$fixtures/any_loop" --dir "$work" epoll
ask traced rest '^done'
watch traced-report "$target"
loops_=$(grep -lx looper "/proc/$target/task"/*/comm)
start_background tracer /usr/bin/python3 "$work/tracer.py" "$(basename "$(dirname "$loops_")")" 2.5
tracer=$started
wait_output tracer 5 '^traces' || fail "tracer: $(cat "$work/tracer.err")"
ask traced "go cpu 3 300" '^done' 60
ask traced "go sleep 3 150" '^done' 60
ended_with "$tracer" || fail "the tracer does not end"
end_session
check_equal "stopped by a tracer again and again: 6 findings" 6 "$(records traced-report 'len(of("slow_callback"))')"
check "those that were busy say so: $(records traced-report '[x["breakdown"]["stopped_ns"] // 1000000 for x in of("slow_callback")]') ms" has_record traced-report \
    'all(any(s["kind"] == "stopped" for s in x["sources"]) and x["breakdown"]["stopped_ns"] > 25e6 for x in of("slow_callback")[:3])'
check_equal "and no place is lost: each stop is none of its own" 0 "$(records traced-report 'r[-1]["lost"]["sources_overflow"]')"
check "and all parts sum up" sums_up traced-report
tell traced quit
