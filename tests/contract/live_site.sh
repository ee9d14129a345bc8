#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Probe sites under a live tracer: arguments arrive, nothing in the target is disturbed, nothing stays. Each hazard that shaped
# the site is also provoked with the 5-byte nop that kernels 6.16 to 7.1 turn into a call: a test that stayed green there would
# prove nothing.
# Runs beside others: it counts hits and words of memory.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_bpf
need_command g++ clang++ ld.lld readelf python3
need_program "$build/bin/tests/attach_site"
cd "$root/tests/contract/probes"

nop5='0x0f,0x1f,0x44,0x00,0x00'
inspect() { python3 inspect_sites.py "$@"; }
compile() { ${compiler:-g++ -O2} -std=c++17 -I "$root/runtime_probes/include" -o "$work/$1" "${@:2}"; }
sites_of() { inspect "$1" --list | awk -v only="${2:-.}" '$2 ~ only { print $3 ":" $4 }'; }
live() { inspect "$work/$1" --live "$2"; }

# attach NAME PROGRAM PID SITE…: a tracer in the background, attached when this returns; its pid in $started.
attach() {
    local name=$1 program=$2 pid=$3
    shift 3
    start_background "$name" "$build/bin/tests/attach_site" "$pid" "$work/$program" "$@"
    if ! wait_until 5 grep -q '^attached' "$work/$name.out"; then
        if grep -q 'uprobe_multi link: Invalid argument' "$work/$name.err"; then skip "this kernel has no uprobe_multi links"; fi
        cat "$work/$name.err"
        fail "the tracer did not attach"
    fi
}

# Of which era is the kernel's uprobe syscall? Asked from outside a trampoline: 6 ENXIO, 71 EPROTO, 38 ENOSYS.
uprobe_errno=$(python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True); c.syscall(336); print(ctypes.get_errno())')
nop5_era() { [ "$uprobe_errno" -eq 6 ]; }
without_nop5="this kernel (uprobe syscall: errno $uprobe_errno) does not turn a 5-byte nop into a call"

# begin PROGRAM [ARGUMENT…]: started and ready; its pid in $target.
begin() {
    start_background "$1" "$work/$1" "${@:2}"
    target=$started
    wait_output "$1" 5 '^ready'
}

# go_on PROGRAM STEP: lets it run until it says STEP.
go_on() {
    kill -s USR1 "$target"
    wait_output "$1" 30 "^$2"
}

# The last turn is the program's: it must end with 0.
stop_by_itself() { kill -s USR1 "$target" && wait_until 5 is_gone_ "$target" && wait "$target"; }

trampoline() { grep -o uprobes-trampoline "/proc/$target/maps" | sort -u || true; }

# check_arguments BUILD: the tracer, stopped, has seen each probe once, argument i of probe n as 16 n + i.
check_arguments() {
    local counts expected actual
    counts=$(inspect "$work/all" --list | awk '{ print $1, $5 }')
    expected=$(awk '{ line = 1; for (i = 1; i <= $2; i++) line = line " " 16 * $1 + i; print line }' <<<"$counts")
    actual=$(tail -n +2 "$work/tracer.out" | paste -d' ' <(cut -d' ' -f2 <<<"$counts") - |
        awk '{ line = $2; for (i = 1; i <= $1; i++) line = line " " $(i + 2); print line }')
    check_equal "each probe is hit once, its arguments in order: $1" "$expected" "$actual"
}

# --- every probe, every argument ---
compile all all_probes.cpp more_probes.cpp
begin all live
mapfile -t sites < <(sites_of "$work/all")
check_equal "untouched: every site begins with 0x90, every semaphore is 0" "bytes 90 semaphores 0" "$(live all "$target")"
attach tracer all "$target" "${sites[@]}"
tracer=$started
check_equal "attached: breakpoints, and semaphores as high as their gates have sites" "bytes cc semaphores 3 10 12" "$(live all "$target")"
go_on all fired
attach second all "$target" "${sites[@]}"
stop "$started" KILL
check_equal "a second tracer that is killed takes nothing from the first" "bytes cc semaphores 3 10 12" "$(live all "$target")"
check_equal "no trampoline is mapped" "" "$(trampoline)"
stop "$tracer"
check_equal "detached: as before" "bytes 90 semaphores 0" "$(live all "$target")"
check_arguments "g++ -O2"

attach tracer all "$target" "$(sites_of "$work/all" loop_start)"
check_equal "one site: its semaphore is 1" "bytes 90 cc semaphores 0 1" "$(live all "$target")"
stop "$started" KILL
is_untouched() { [ "$(live all "$target")" = "bytes 90 semaphores 0" ]; }
check "a tracer killed by SIGKILL leaves nothing" wait_until 5 is_untouched
check "and the program ends well" stop_by_itself all

for compiler in "g++ -O0" "g++ -O3 -flto" "clang++ -O2" "clang++ -O2 -flto=thin -fuse-ld=lld"; do
    compile all all_probes.cpp more_probes.cpp
    begin all live
    mapfile -t sites < <(sites_of "$work/all")
    attach tracer all "$target" "${sites[@]}"
    go_on all fired
    stop "$started"
    check_arguments "$compiler"
    stop "$target"
done
unset compiler

# --- the red zone: the same bytes, inlined into a leaf function ---
# red_zone BYTES: prints hits, calls that lost a value, and the trampoline if there is one.
red_zone() {
    compile red_zone -DSITE_BYTES="\"$1\"" red_zone.cpp
    begin red_zone
    attach tracer red_zone "$target" "$(inspect "$work/red_zone" --symbol red_zone_site):$(inspect "$work/red_zone" --symbol red_zone_semaphore)"
    go_on red_zone finished
    trampoline
    stop "$started"
    sed -n '2s/ .*/ hits/p' "$work/tracer.out"
    grep ^corrupted "$work/red_zone.out"
    stop "$target"
}
red_zone "$(inspect "$work/all" --bytes)" >"$work/seen"
check_equal "a live probe in a leaf function leaves the red zone alone" $'200000 hits\ncorrupted 0 of 200000' "$(cat "$work/seen")"
if nop5_era; then
    red_zone "$nop5" >"$work/seen"
    check "seen red: a 5-byte nop is turned into a call" grep -q uprobes-trampoline "$work/seen"
    check "and destroys the red zone" grep -qE '^corrupted 1[0-9]{5} of 200000' "$work/seen"
else
    skip_check "seen red: a 5-byte nop destroys the red zone" "$without_nop5"
fi

# --- a server that forks while it is watched ---
fork_children() {
    compile fork_child "$@" fork_child.cpp
    begin fork_child
    attach tracer fork_child "$target" "$(sites_of "$work/fork_child" dispatch_begin)"
    go_on fork_child finished
    trampoline
    live fork_child "$target"
    stop "$started"
    live fork_child "$target"
    grep 'children lived' "$work/fork_child.out"
    stop "$target"
}
fork_children >"$work/seen"
check_equal "children forked after the first hit live, and hit the site too" \
    $'bytes 90 cc semaphores 0 1\nbytes 90 semaphores 0\n100 of 100 children lived, signal 0' "$(cat "$work/seen")"
if nop5_era; then
    fork_children "-DLOOPWATCH_SITE_NOP=\"$nop5\"" >"$work/seen"
    check "seen red: with a 5-byte nop children die of SIGSEGV" grep -qE '^[0-9]{1,2} of 100 children lived, signal 11' "$work/seen"
else
    skip_check "seen red: with a 5-byte nop children die" "$without_nop5"
fi
