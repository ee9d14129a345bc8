#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# loopwatch daemon: targets by rules, labels, the journal, the canary, control, reload; and what happens to machines.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/privileged/lib/daemon.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop"

# An emulated processor needs more than 50 ms for callbacks of nothing.
patience=${LOOPWATCH_PATIENCE:-1}
threshold=$((50 * patience))ms longer=$((60 * patience))ms block_ms=$((150 * patience))

name=lw-daemon-$$
cp "$fixtures/any_loop" "$work/$name"
mkdir "$work/run" # no socket of a daemon that runs here already
cat >"$work/loopwatch.toml" <<EOF
[paths]
state = "$work/state"
run = "$work/run"
[defaults]
threshold = "$threshold"
interval = "2s"
min_age = "200ms"
[[target]]
match = {exe = "*/$name"}
service = "orders"
labels = {team = "shop"}
[[sink]]
type = "file"
path = "$work/plain.ndjson"
EOF

# daemon NAME OPTION…: one in the background, ready to be asked.
daemon() {
    local session_name=$1
    shift
    start_background "$session_name" "$loopwatch" daemon --config "$work/loopwatch.toml" --canary-period 3s "$@"
    daemon=$started
    wait_until 20 answered status 1 || fail "the daemon does not answer"
}

daemon first
check "its state and journal are there" test -d "$work/state/journal"
check "the canary is found" wait_until 20 is_answer status "a['canary']['found'] > 0"
check_status "status is healthy" 0 "$loopwatch" status --socket "$socket"
check_equal "it watches nothing else yet" 0 "$(answered status "a['targets']")"
check_status "a second daemon is refused" 1 "$loopwatch" daemon --config "$work/loopwatch.toml"
check "and names the first" grep -q "$daemon" "$work/stderr"

# --- a service that is deployed twice ---
pids=()
for life in 1 2; do
    start_fixture "life-$life" "$work/$name" --dir "$work" epoll
    pids+=("$target")
    check "life $life: it is watched soon after it is old enough" wait_until 3 is_answer targets "[(t['pid'], t['loops']) for t in a['targets']] == [($target, ['looper'])]"
    ask "life-$life" "go sleep 3 $block_ms" '^done' || fail "not done"
    tell "life-$life" quit
    wait_until 5 is_gone_ "$target"
    check "life $life: it is let go" wait_until 8 is_answer targets "a['targets'] == []"
done
check "both are in the journal under the same service" wait_until 5 in_journal \
    "sorted({x['pid'] for x in of('slow_callback') if x.get('service') == 'orders'}) == sorted([${pids[0]}, ${pids[1]}]) or
     {x['pid'] for x in of('target_start')} == {${pids[0]}, ${pids[1]}} and {x.get('service') for x in of('target_start')} == {'orders'}"
check_equal "findings are examples: of six the first of the service" 1 "$(journal "len(of('slow_callback'))")"
check_equal "a second output has its own example" 1 "$(grep -c '"type":"slow_callback"' "$work/plain.ndjson")"
check "sums are exact: six of $block_ms ms" wait_until 5 in_journal \
    "sum(x['count'] for x in of('cause_stats')) == 6 and 0 <= sum(x['held_ns'] for x in of('cause_stats')) - 6e6 * $block_ms <= 100e6 * $patience"
check_equal "labels of the rule are on each record" "{'shop'}" "$(journal "{x['labels']['team'] for x in of('cause_stats')}")"
check "records are numbered, one after the other" in_journal \
    "[x['seq'] for x in r if 'seq' in x] == list(range(1, 1 + len([x for x in r if 'seq' in x])))"
"$loopwatch" schema >"$work/schema.json"
check "and are as the schema has them, the segment's own among them" bash -c "zstdcat '$work'/state/journal/*.lwj | python3 '$root/tests/golden/validate.py' check '$work/schema.json' -"

# --- a reload ---
sed -i "s/threshold = \"$threshold\"/threshold = \"$longer\"/" "$work/loopwatch.toml"
check_equal "a reload says what it changes" "['defaults.threshold = \"$threshold\" -> \"$longer\"']" "$(answered reload "a['changes']")"
check "within 100 ms" test "$(answered reload "a['took_ms'] < 100")" = True
echo 'thershold = 3' >>"$work/loopwatch.toml"
check_not "a wrong configuration is refused" "$loopwatch" reload --socket "$socket"
check "the error has its line" bash -c "'$loopwatch' reload --socket '$socket' 2>&1 | grep -q 'loopwatch.toml:1[0-9]:.*thershold'"
sed -i '$d' "$work/loopwatch.toml"
kill -HUP "$daemon"
check "SIGHUP ends nothing" wait_until 5 is_answer status "a['healthy']"

# --- dump ---
check_status "dump" 0 "$loopwatch" dump --socket "$socket" -o "$work/dump.ndjson"
check "has what no limit has held back: six callbacks" test "$(grep -c '"type":"slow_callback"' "$work/dump.ndjson")" -eq 6

# --- SIGKILL, and again ---
before=$(journal "max(x.get('seq', 0) for x in r)")
canary=$(answered status "a['canary']['pid']")
kill -KILL "$daemon"
wait_until 5 is_gone_ "$daemon"
check "its canary ends with it" wait_until 5 is_gone_ "$canary"
daemon second
check "the numbers go on where they were" wait_until 20 in_journal "max(x.get('seq', 0) for x in r) > $before"
check_equal "the instance is the same" 1 "$(journal "len({x['instance'] for x in r if 'instance' in x})")"

# --- stopped for a while ---
kill -STOP "$daemon"
start_fixture stopped "$work/$name" --dir "$work" epoll
ask stopped "go sleep 2 $block_ms" '^done' || fail "not done"
kill -CONT "$daemon"
check "it goes on, and finds what has come meanwhile" wait_until 5 is_answer targets "len(a['targets']) == 1"
kill -TERM "$daemon"
wait_until 5 is_gone_ "$daemon"
check "SIGTERM ends it, and the journal ends with the session" in_journal "r[-1]['type'] == 'session_end' or of('session_end')[-1]['reason'] == 'terminated'"
tell stopped quit
