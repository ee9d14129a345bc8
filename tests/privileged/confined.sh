#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Who parses the target's files has nothing to misuse: not root, no capability, no system call that opens, runs or connects anything,
# no descriptor but those it was sent. And it still names functions, files and lines, from separate debug files too.
# Runs alone: it judges what the worker may still do, and how much memory it takes.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo gdb
need_program "$loopwatch" "$fixtures/stall"

start_fixture target "$fixtures/stall" --dir "$work" lock 3 40
watch session "$target" --threshold 20ms
worker=$(pgrep -P "$session" -x loopwatch-sym) || fail "no symbol worker"
status_() { awk -v name="$1:" '$1 == name { $1 = ""; print substr($0, 2) }' "/proc/$worker/status"; }

check_equal "it is a user of its own, in no group" "2147418112 2147418112 2147418112 2147418112, 2147418112 2147418112 2147418112 2147418112, " "$(status_ Uid), $(status_ Gid), $(status_ Groups)"
check_equal "without a capability, and without a way to any" "0000000000000000 0000000000000000 1" \
    "$(status_ CapPrm) $(status_ CapEff) $(status_ NoNewPrivs)"
check_equal "its system calls are filtered" 2 "$(status_ Seccomp)"
check_equal "it may write no file and dump no core" "0 0" \
    "$(awk '/^Max file size/ { fsize = $4 } /^Max core file size/ { core = $5 } END { print fsize, core }' "/proc/$worker/limits")"
check_equal "its descriptors are files of the target, a socket and /dev/null" "" \
    "$(find "/proc/$worker/fd" -type l -printf '%l\n' | grep -vE '^(/dev/null|socket:\[[0-9]+\]|/.*/stall|/usr/lib/.*\.so[.0-9]*|/usr/lib/debug/.*)$' || true)"

ask target go '^done' || fail "not done"
end_session
check "it names functions, files and lines all the same" has_record session \
    "len(of('slow_callback')) == 3 and all(any('wait_for_lock' in (f['function'] or '') and f['line'] > 0 for f in x['stack']) for x in of('slow_callback'))"
check_equal "and nothing was lost to it" 0 "$(records session 'r[-1]["lost"]["symbol_worker"]')"
check_equal "nothing stays" "$untouched_" "$(memory_of "$target")"
check_not "the worker is gone with its session" kill -0 "$worker"

# One that is started later, from a core that has a kernel side by then.
watch later "$target" --threshold 20ms --trace
kill -KILL "$(pgrep -P "$session" -x loopwatch-sym)"
ask target go '^done' || fail "not done"
another_() { worker=$(pgrep -P "$session" -x loopwatch-sym); }
wait_until 5 another_ || fail "no other worker"
check "the core shares memory with the kernel side" grep -q bpf-map "/proc/$session/maps"
check_not "a worker that is started later does not" grep bpf-map "/proc/$worker/maps"
end_session

# What it may not do, tried from inside: a debugger makes the calls in its name.
watch tried "$target" --threshold 20ms
worker=$(pgrep -P "$session" -x loopwatch-sym) || fail "no symbol worker"
# call NAME ARGUMENTS…: what the system call returns in the worker, -1 with errno 1 (EPERM) if it is refused.
call_() { gdb -p "$worker" -batch -nx -ex "print ((long (*)(long, ...)) syscall)($1)" -ex 'print *(int *) __errno_location()' 2>/dev/null |
    awk '/^\$[0-9]+ = / { printf "%s ", $3 }'; }
# gdb 13 cannot write the registers of some newer processors back ("Couldn't write extended state status"), so calls fail.
start_background plain sleep 60
if [ "$(worker=$started call_ '39')" = "$started 0 " ]; then
    check_equal "it opens nothing" "-1 1 " "$(call_ '257, -100, "/etc/passwd", 0')"
    check_equal "it connects to nothing" "-1 1 " "$(call_ '41, 2, 1, 0')"
    check_equal "it runs nothing" "-1 1 " "$(call_ '59, "/bin/true", 0, 0')"
    check_equal "it traces nobody" "-1 1 " "$(call_ "101, 16, $target, 0, 0")"
    check_equal "it gets no memory that could be run" "-1 1 " "$(call_ '9, 0, 4096, 7, 34, -1, 0')"
else
    for tried in "opens nothing" "connects to nothing" "runs nothing" "traces nobody" "gets no memory that could be run"; do
        skip_check "it $tried" "gdb cannot call functions on this processor"
    done
fi
stop "$started" KILL
end_session
tell target quit
