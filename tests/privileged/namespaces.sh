#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A server in a PID and mount namespace of its own, run from a file that the host's mount namespace does not show.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command unshare mkfifo nsenter
need_program "$loopwatch" "$fixtures/stall"
unshare --pid --fork --mount true 2>/dev/null || skip "cannot make PID and mount namespaces"

mkdir "$work/inside"
# shellcheck disable=SC2016
start_told server unshare --pid --fork --kill-child --mount-proc --mount sh -c '
    mount -t tmpfs none "$1" && cp "$2" "$1/server" && cd "$1" && exec ./server --dir "$1" lock 3 40
' - "$work/inside" "$fixtures/stall"
wait_output server 10 '^ready' || fail "the server did not start"
check "inside, it is process 1" grep -q '^ready 1$' "$work/server.out"
target=$(pgrep -P "$started" -x server) || fail "the server is not there"
check_not "the host does not see its file" test -e "$work/inside/server"

"$loopwatch" ps -p "$target" --format ndjson >"$work/list.out"
check "its tasks are listed" has_record list "len(of('task_listed')) >= 1 and all((t['pid'], t['ns_pid']) == ($target, 1) and t['task']['created_at']['file'] for t in of('task_listed'))"

watch report "$target" --threshold 20ms --block-threshold 5ms
ask server go '^done' || fail "not done"
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
# On a slow or emulated machine a dispatch may also wait 20 ms for a CPU: those are true, and no stalls of this server.
locks='[x for x in slow if x["sources"] and x["sources"][0]["kind"] == "lock"]'
check_equal "3 of 3 stalls are found" 3 "$(records report "len($locks)")"
check_equal "under the host's pid and the server's own" "{($target, 1, 1)}" \
    "$(records report '{(x["pid"], x["ns_pid"], x["ns_tid"]) for x in of("slow_callback", "blocking_call")}')"
check "with function, file and line" has_record report \
    "all(any('wait_for_lock' in (f['function'] or '') and f['file'].endswith('kinds.cpp') and f['line'] > 0 for f in x['stack']) for x in $locks)"
check "and the thread that released the lock, by the host's ids" has_record report \
    "all(x['sources'][0]['waker']['comm'] == 'holder' and x['sources'][0]['waker']['pid'] == $target for x in $locks)"
check_equal "nothing stays" "$untouched_" "$(memory_of "$target")"
tell server quit
