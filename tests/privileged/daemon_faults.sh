#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What happens to machines on which loopwatch daemon runs: storms of short-lived programs, many targets at once, a symbol
# worker that dies, a state directory that cannot be used, a configuration with errors.
# Runs alone: it keeps both CPUs busy.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/privileged/lib/daemon.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop"

name=lw-faults-$$
cp "$fixtures/any_loop" "$work/$name"
mkdir "$work/run"
configure() { # LINES…: of the rest
    cat >"$work/loopwatch.toml" <<EOF
[paths]
state = "$work/state"
run = "$work/run"
[defaults]
threshold = "50ms"
interval = "2s"
min_age = "200ms"
[[target]]
match = {exe = "*/$name"}
EOF
    printf '%s\n' "$@" >>"$work/loopwatch.toml"
}

# --- what it cannot start with ---
configure 'thershold = "1s"' '[limits]' 'cpu = "fast"'
check_status "a configuration with errors: 2" 2 "$loopwatch" daemon --config "$work/loopwatch.toml"
check_equal "each error is a line with its place" 2 "$(grep -c "^$work/loopwatch.toml:[0-9]*:[0-9]*: " "$work/stderr")"
configure
mkdir "$work/state" && echo 99 >"$work/state/version"
check_status "a state directory of a version that is not known: 1" 1 "$loopwatch" daemon --config "$work/loopwatch.toml"
check "one line says which" grep -q "$work/state.*version" "$work/stderr"
rm -r "$work/state"
mkdir "$work/full" && mount -t tmpfs -o ro,size=64k none "$work/full"
check_status "a state directory that cannot be written: 1" 1 "$loopwatch" daemon --config "$work/loopwatch.toml" --set "paths.state=$work/full/state"
umount "$work/full"
check_equal "none has left a journal" 0 "$(find "$work" -name '*.lwj' | wc -l)"

start_background daemon "$loopwatch" daemon --config "$work/loopwatch.toml" --canary-period 3s
daemon=$started
wait_until 20 is_answer status "a['canary']['found'] > 0" || fail "the daemon does not run"

# --- 4,000 programs that end at once, as fast as this machine starts them ---
python3 - <<'PY' &
import os
for _ in range(4000):
    os.posix_spawn("/bin/true", ["true"], {})
    os.wait()
PY
storm=$!
start_fixture within "$work/$name" --dir "$work" epoll
check "a target that starts within a storm of short-lived programs is found" wait_until 5 is_answer targets "[t['pid'] for t in a['targets']] == [$target]"
wait "$storm"
ask within 'go sleep 2 150' '^done' || fail "not done"
check "its callbacks are counted" wait_until 8 in_journal "sum(x['count'] for x in of('cause_stats')) == 2"
check_equal "no process was missed" False "$(answered status "'processes_missed' in a['lost']")"
tell within quit

# --- 40 targets at once ---
servers=()
for number in $(seq 40); do
    start_fixture "server-$number" "$work/$name" --dir "$work" epoll
    servers+=("$target")
done
check "40 targets that start at once are all watched" wait_until 20 is_answer targets "len(a['targets']) == 40"
ask server-40 'go sleep 1 150' '^done' || fail "not done"

# --- the symbol worker dies again and again ---
for _ in 1 2 3 4 5; do
    canary=$(answered status "a['canary']['pid']")
    worker=$(pgrep -P "$daemon" | grep -vx "$canary" | tail -n 1 || true)
    [ -z "$worker" ] || kill -KILL "$worker" 2>/dev/null || true
    ask server-1 'go sleep 1 150' '^done' || fail "not done"
done
check "the daemon goes on, and is well" wait_until 10 is_answer status "a['healthy']"
check "all five callbacks are in the sums" wait_until 10 in_journal "sum(x['count'] for x in of('cause_stats') if x['pid'] == ${servers[0]}) == 5"

# --- all of them end at once ---
for pid in "${servers[@]}"; do kill -TERM "$pid"; done
check "targets that end are let go" wait_until 15 is_answer targets "a['targets'] == []"
check_equal "and are no loops any more" 0 "$(answered status "a['loops'] - 1")"
kill -TERM "$daemon"
wait_until 10 is_gone_ "$daemon" || fail "the daemon does not end"
check_equal "nothing of it stays" "" "$(pgrep -P "$daemon" || true)"
