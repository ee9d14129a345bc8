# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every script says and how it gives up. Humans are addressed on stderr; stdout is for data.

log() { printf '%s\n' "$*" >&2; }

# die WHAT [HINT [STATUS]]: one line on what went wrong, one on the command that mends it.
die() {
    log "$(basename "$0"): $1"
    if [ -n "${2:-}" ]; then log "hint: $2"; fi
    exit "${3:-1}"
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# as_root COMMAND…: sudo only where it is needed.
as_root() {
    if is_root; then "$@"; else sudo "$@"; fi
}

# wait_until SECONDS COMMAND…: 0 as soon as the command succeeds, 1 after SECONDS (may be a fraction). The only way to wait for
# another process: a bare sleep is either too short or too long. On a machine that is slow by design (scripts/test-kernel) the
# seconds are multiplied by LOOPWATCH_PATIENCE.
wait_until() {
    local deadline=$(($(date +%s%N) + $(awk -v s="$1" -v patience="${LOOPWATCH_PATIENCE:-1}" 'BEGIN { printf "%.0f", s * patience * 1e9 }')))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s%N)" -ge "$deadline" ]; then return 1; fi
        sleep 0.02
    done
}

# free_port: a TCP port of 127.0.0.1 nobody listens on. Programs that can bind port 0 themselves should, and say what they got.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# need_tracefs: bpftrace and perf want it mounted, loopwatch does not. Mounts tracefs and debugfs where they are missing.
need_tracefs() {
    mountpoint -q /sys/kernel/tracing || as_root mount -t tracefs tracefs /sys/kernel/tracing
    mountpoint -q /sys/kernel/debug || as_root mount -t debugfs debugfs /sys/kernel/debug
}
