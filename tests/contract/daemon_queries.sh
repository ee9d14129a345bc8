#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# loopwatch status, targets, reload and dump with daemons that do not run, do not answer, or answer to others only.
# Runs beside others: nothing is measured.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
loopwatch=$build/bin/loopwatch
need_program "$loopwatch"
need_command /usr/bin/python3 timeout
socket=$work/control.sock

# listen ANSWER: a daemon of one answer; an empty one never comes.
listen() {
    start_background daemon /usr/bin/python3 -c '
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("listens", flush=True)
kept = []
while True:
    connection, _ = listening.accept()
    request = connection.recv(4096)
    print(request.decode(), end="", flush=True)
    if sys.argv[2]:
        connection.sendall(sys.argv[2].encode() + b"\n")
        connection.close()
    kept.append(connection)
' "$socket" "$1"
    wait_output daemon 10 listens || fail "no daemon"
}
hang_up() { stop "$started" KILL && rm -f "$socket"; }

# --- none ---
echo precious >"$work/dump"
for command in status targets reload; do
    check_status "$command without a daemon: exit code 5" 5 "$loopwatch" "$command" --socket "$socket"
done
check_equal "one line, which says how to start it" \
    "loopwatch: no loopwatch daemon answers at $socket (hint: start it: systemctl start loopwatch, or sudo loopwatch daemon)" "$(cat "$work/stderr")"
check_status "and so does dump" 5 "$loopwatch" dump --socket "$socket" -o "$work/dump"
check_equal "which destroys no earlier file" precious "$(cat "$work/dump")"
check_status "an option of another command is refused" 2 "$loopwatch" status --threshold 1ms
check_status "and so is an empty path" 2 "$loopwatch" status --socket ""

# --- one that answers ---
listen '{"healthy":false,"targets":[{"pid":7,"comm":"web"}]}'
check_status "a daemon that is not healthy: exit code 1" 1 "$loopwatch" status --socket "$socket"
check_equal "with its answer" $'healthy: no\ntargets: 1\n  comm  pid\n  web   7' "$(cat "$work/stdout")"
check_status "targets as JSON" 0 "$loopwatch" targets --socket "$socket" --format json
check_equal "in one line" '{"healthy":false,"targets":[{"comm":"web","pid":7}]}' "$(cat "$work/stdout")"
rm "$work/dump"
check_status "a dump into a file" 0 "$loopwatch" dump --socket "$socket" -o "$work/dump"
check_equal "which others cannot read" 600 "$(stat -c %a "$work/dump")"
check_equal "each asked for its own" '{"command":"status"} {"command":"targets"} {"command":"dump"}' "$(grep -v listens "$work/daemon.out" | xargs -d '\n')"
if is_root && command -v setpriv >/dev/null; then
    cp "$loopwatch" "$work/loopwatch" && chmod 755 "$work/loopwatch" "$work" && chmod 660 "$socket"
    check_status "a user who may not connect: exit code 4" 4 setpriv --reuid=65534 --regid=65534 --clear-groups "$work/loopwatch" status --socket "$socket"
    check "and how to mend it" grep -q 'hint: .*usermod -aG loopwatch' "$work/stderr"
else
    skip_check "a user who may not connect" "needs root"
fi
hang_up

# --- one that does not ---
listen ""
for signal in TERM INT; do
    check_status "$signal ends a query at once: its daemon does not answer" 124 timeout -s "$signal" -k 5 0.5 "$loopwatch" status --socket "$socket"
done
hang_up
