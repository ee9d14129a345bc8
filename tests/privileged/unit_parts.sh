#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The service unit and the container image by their parts, where neither systemd nor a container runtime runs: as a user of its own with
# six capabilities, under the unit's filters of system calls, with a file system that is read only, loopwatch finds a stall of another
# user's process with all its names; and so it does with capabilities of the program's file alone.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command setpriv unshare systemd-analyze setcap /usr/bin/python3
/usr/bin/python3 -c 'import seccomp' 2>/dev/null || skip "needs python3-seccomp (scripts/setup installs it)"
need_program "$loopwatch" "$fixtures/stall"
[ "$(cat /proc/sys/kernel/perf_event_paranoid)" -lt 3 ] || skip "CAP_PERFMON is not enough at this kernel.perf_event_paranoid"
unit=$root/packaging/systemd/loopwatch.service

# The daemon's user may read what it executes, wherever this tree is.
service=61877 other=61878
mkdir -m 755 "$work/usr"
cp "$loopwatch" "$root/tests/privileged/lib/under_unit.py" "$unit" "$work/usr/"
cp "$fixtures/stall" "$work/usr/stall"
chmod 711 "$work"
chmod 755 "$work"/usr/*
mkdir -m 700 "$work/home"
chown $other "$work/home"

capabilities=$(sed -nE 's/^AmbientCapabilities=//p' "$unit")
sets=$(sed 's/CAP_/+/g; s/ /,/g' <<<"$capabilities" | tr '[:upper:]' '[:lower:]')
check_equal "the unit grants six capabilities" 6 "$(wc -w <<<"$capabilities")"

# What ProtectSystem=strict, PrivateTmp, PrivateDevices and ProtectControlGroups make of the file systems; and tracefs, which the unit
# has mounted. What is left to write is below /tmp, but for $work.
cat >"$work/usr/confined" <<'SH'
#!/usr/bin/env bash
set -euo pipefail
work=$1
shift
mount --make-rprivate /
mkdir -p /sys/kernel/tracing
mountpoint -q /sys/kernel/tracing || mount -t tracefs -o ro tracefs /sys/kernel/tracing
mount --bind "$work" "$work"
while read -r place; do
    case $place in /proc | /proc/* | /dev | /dev/* | /sys/kernel/tracing) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
done < <(findmnt -rno TARGET)
if touch "$work/written" 2>/dev/null || touch /usr/written 2>/dev/null; then echo "the file system can be written" >&2; exit 1; fi
mount -t tmpfs -o mode=755 tmpfs /dev
for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9"; do
    read -r name major minor <<<"$device"
    mknod -m 666 "/dev/$name" c "$major" "$minor"
done
mkdir /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# Its state and runtime directories.
[ ! -d "$work/var" ] || { mount --bind "$work/var" "$work/var" && mount -o remount,bind,rw "$work/var"; }
exec "$@"
SH
chmod 755 "$work/usr/confined"

# As the unit has it: uid, ambient and bounding capabilities, no_new_privs, filters.
as_service() {
    echo unshare -m "$work/usr/confined" "$work" setpriv --reuid=$service --regid=$service --clear-groups --no-new-privs \
        --inh-caps="-all,$sets" --ambient-caps="-all,$sets" --bounding-set="-all,$sets" \
        /usr/bin/python3 "$work/usr/under_unit.py" "$work/usr/loopwatch.service"
}

start_fixture target setpriv --reuid=$other --regid=$other --clear-groups "$work/usr/stall" --dir "$work/home" lock 3 40

# finds NAME COMMAND…: a session by it is live, finds the fixture's three stalls, and ends.
finds() {
    local name=$1
    shift
    start_background "$name" "$@" -p "$target" --format ndjson --threshold 20ms
    session=$started
    wait_output "$name" 20 '"type":"session_start"' || {
        quote_ "$work/$name.err"
        fail "$name: loopwatch did not start"
    }
    check_equal "$name: it is a user of its own" "$service" "$(awk '$1 == "Uid:" { print $3 }' "/proc/$session/status")"
    ask target go '^done' || fail "not done"
    check "$name: three stalls are found" wait_until 10 has_record "$name" "len(slow) == 3"
    check_equal "$name: each with the lines and functions of its stack" "[True, True, True]" \
        "$(records "$name" "['kinds.cpp:' in x['verdict'] for x in slow]")"
    end_session
    check_equal "$name: and it ended well" 0 "$stopped_status"
    check_equal "$name: without a warning" "[]" "$(records "$name" "[x['text'] for x in of('warning')]")"
    check_equal "$name: and without a loss" "{}" "$(records "$name" "{k: v for k, v in r[-1]['lost'].items() if v}")"
}
# shellcheck disable=SC2046
finds unit $(as_service) "$work/usr/loopwatch"

# --- each part is needed, or the test would show nothing ---
check "a call that the unit does not allow is refused" sh -c '"$@" 2>&1 | grep -q "Operation not permitted"' - \
    /usr/bin/python3 "$work/usr/under_unit.py" "$work/usr/loopwatch.service" /usr/bin/unshare -m true
sed -E 's/^SystemCallFilter=bpf capset$/SystemCallFilter=capset/' "$unit" >"$work/usr/without.service"
check_status "without bpf it is refused, and says so" 4 setpriv --reuid=$service --regid=$service --clear-groups --inh-caps="-all,$sets" \
    --ambient-caps="-all,$sets" --bounding-set="-all,$sets" \
    /usr/bin/python3 "$work/usr/under_unit.py" "$work/usr/without.service" "$work/usr/loopwatch" -p "$target" --duration 1s

# --- the image: capabilities of the file, and no ambient ones ---
cp "$work/usr/loopwatch" "$work/usr/image"
chmod 755 "$work/usr/image"
if setcap "$(tr '[:upper:] ' '[:lower:],' <<<"$capabilities")+ep" "$work/usr/image" 2>/dev/null; then
    finds image unshare -m "$work/usr/confined" "$work" setpriv --reuid=$service --regid=$service --clear-groups \
        --inh-caps=-all --bounding-set="-all,$sets" "$work/usr/image"
    refused() {
        ! setpriv --reuid=$service --regid=$service --clear-groups --inh-caps=-all --bounding-set="-all,${sets/+bpf,/}" \
            "$work/usr/image" --version
    }
    check "image: where a capability is not granted it does not start" refused
else
    skip_check "image: capabilities of the file" "this file system has no extended attributes"
fi

# --- the daemon, as the unit has it ---
mkdir -p "$work/var/state" "$work/var/run"
chown -R "$service:$service" "$work/var"
cat >"$work/usr/loopwatch.toml" <<EOF
[paths]
state = "$work/var/state"
run = "$work/var/run"
[defaults]
threshold = "20ms"
interval = "2s"
[[target]]
match = {exe = "$work/usr/stall"}
EOF
chmod 644 "$work/usr/loopwatch.toml"
# shellcheck disable=SC2046
start_background daemon $(as_service) "$work/usr/loopwatch" daemon --config "$work/usr/loopwatch.toml" --canary-period 3s
daemon=$started
status_of() { "$loopwatch" status --socket "$work/var/run/control.sock" --format json | python3 -c "import json,sys; a=json.load(sys.stdin); print($1)"; }
is_status() { [ "$(status_of "$1")" = True ]; }
check "daemon: it is well, its canary was found" wait_until 20 is_status "a['healthy'] and a['canary']['found'] > 0"
check "daemon: it watches another user's process" wait_until 5 is_status "a['targets'] == 1 and a['loops'] > 1"
ask target go '^done' || fail "not done"
in_journal() { [ "$(zstdcat "$work"/var/state/journal/*.lwj | python3 -c "import json,sys; r=[json.loads(l) for l in sys.stdin]; print($1)")" = True ]; }
check "daemon: three stalls are in its sums" wait_until 8 in_journal "sum(x['count'] for x in r if x['type'] == 'cause_stats') == 3"
check "daemon: the first of them is in the journal with its line" in_journal "'kinds.cpp:' in [x for x in r if x['type'] == 'slow_callback'][0]['verdict']"
check_equal "daemon: it is a user of its own" "$service" "$(awk '$1 == "Uid:" { print $3 }' "/proc/$daemon/status")"
tell target quit
