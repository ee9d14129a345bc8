#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Process 1 of the machine that scripts/test-kernel boots. First as /init, in busybox's shell: the host's files, read only, under an
# overlay in memory become the root. Then once more from there, in bash, with the repository and the build directory as arguments:
# runs the tests, leaves the verdict in the share "logs", ends the machine. Nothing mounts tracefs: loopwatch must do without.
set -eu

if [ $# -eq 0 ]; then
    b=/bin/busybox
    root=$($b cat /root) build=$($b cat /build)
    trap '$b poweroff -f' EXIT
    $b mount -t proc none /proc
    for module in /[0-9]*.ko; do $b insmod "$module"; done
    share=trans=virtio,version=9p2000.L,msize=500000
    $b mount -t 9p -o "ro,cache=loose,$share" host /host
    $b mount -t tmpfs -o size=2g none /fresh
    $b mkdir /fresh/upper /fresh/work
    $b mount -t overlay -o lowerdir=/host,upperdir=/fresh/upper,workdir=/fresh/work none /whole
    $b mount --bind /whole /new
    $b mount -t proc none /new/proc
    $b mount -t sysfs none /new/sys
    $b mount -t devtmpfs none /new/dev
    $b mkdir -p /new/dev/pts /new/dev/shm
    $b mount -t devpts none /new/dev/pts
    for at in dev/shm tmp run; do $b mount -t tmpfs -o mode=1777 none /new/$at; done
    # A repository or a build below /tmp was there before the tmpfs, and still is in /whole.
    for at in "$root" "$build"; do
        if ! [ -e "/new$at" ]; then $b mkdir -p "/new$at" && $b mount --bind "/whole$at" "/new$at"; fi
    done
    $b mkdir -p "/new$build/test-logs"
    $b mount -t 9p -o "$share" logs "/new$build/test-logs"
    $b ln -sfn /proc/self/fd /new/dev/fd
    for n in 0:stdin 1:stdout 2:stderr; do $b ln -sfn "/proc/self/fd/${n%:*}" "/new/dev/${n#*:}"; done
    $b umount /proc
    trap - EXIT
    exec $b switch_root /new /bin/bash "$root/scripts/lib/kernel_init.sh" "$root" "$build"
fi

set -o pipefail
root=$1 build=$2
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw
trap 'sync; busybox poweroff -f' EXIT
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
unset TMPDIR
# Emulation is about ten times slower.
export LOOPWATCH_PATIENCE=5 LOOPWATCH_CYCLES=10 LOOPWATCH_TEST_SECONDS=300
ip link set lo up
echo test-kernel >/proc/sys/kernel/hostname
cd "$root"

. scripts/lib/log.sh
log "this is $(uname -rv), $(nproc) processors"
status=0
"$build/bin/loopwatch" doctor || status=1
scripts/lib/run_tests.py "$build" --only "^($(paste -sd'|' "$build/test-logs/names"))\$" || status=1
echo "$status" >"$build/test-logs/status"
