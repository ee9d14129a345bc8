#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Each rung of the attach ladder finds the same, leaves nothing, and the lowest says that it sees little.
# Runs alone: a program that waits for a CPU is slow too.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo readelf
need_program "$loopwatch" "$fixtures/stall"

start_fixture target "$fixtures/stall" --dir "$work" sleep 3 40
options=(--threshold 20ms --block-threshold 5ms)
for rung in multi perf-all perf-pid; do
    if [ $rung = multi ] && ! printf '6.10\n%s\n' "$(uname -r)" | sort -VC; then
        skip_check "multi" "kernels before 6.10 attach uprobe_multi links to no single process"
        continue
    fi
    watch "$rung" "$target" --attach="$rung" "${options[@]}"
    ask target go '^done' || fail "not done"
    end_session
    check_equal "$rung: ends with 0" 0 "$stopped_status"
    # A slow or emulated machine may make other dispatches slow: those wait for a CPU or burn it.
    check_equal "$rung: 3 of 3 stalls are found, as sleeps" "['sleep', 'sleep', 'sleep']" \
        "$(records "$rung" '[k for k in (x["sources"][0]["kind"] for x in slow) if k not in ("run_queue", "cpu")]')"
    check "$rung: nothing stays" wait_until 5 is_untouched "$target"
done

# perf-all fires in every process that runs the file, its loop_start too: only the chosen one is reported.
start_fixture chosen "$fixtures/stall" --dir "$work" sleep 1 40
chosen=$target
watch apart "$chosen" --attach=perf-all "${options[@]}"
start_fixture bystander "$fixtures/stall" --dir "$work" sleep 3 40
bystander=$target
target=$chosen
ask bystander go '^done' || fail "not done"
ask chosen go '^done' || fail "not done"
end_session
check_equal "perf-all: of two processes of one program only the chosen one is reported" "[$target]" \
    "$(records apart 'sorted({x["pid"] for x in of("slow_callback", "blocking_call")})')"
check "and nothing stays in either" eval "wait_until 5 is_untouched $target && wait_until 5 is_untouched $bystander"

watch none "$target" --attach=none "${options[@]}"
ask chosen go '^done' || fail "not done"
end_session
check_equal "none: ends with 0" 0 "$stopped_status"
check "none: says in session_start that probes are not attached" has_record none \
    'any("attach=none" in w and "not attached" in w for w in of("session_start")[0]["warnings"])'
check_equal "none: claims no slow callback" 0 "$(records none 'len(slow)')"
check "none: the target is not touched at all" is_untouched "$target"

check_status "a rung that does not exist is refused" 2 "$loopwatch" -p "$target" --attach=maybe
