#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The journal on disks that are full, or cannot be written to, and one of 512 MiB at its start.
# Runs alone: it judges how long a start takes, and memory.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_root
need_command jq mount zstd
tool=$build/bin/tests/journal_tool
need_program "$tool"
cd "$work"
figure() { tail -n 1 "$1" | jq ".$2"; }

mkdir small
mount -t tmpfs -o size=2m none small || skip "cannot mount a tmpfs"
trap 'umount "$work/small" || true; finish_' EXIT

# --- a full disk ---
"$tool" write small/state records=20000 payload=600 segment=200000 frame=16384 >full.out 2>full.err && fail "the disk was not full"
lost=$(figure full.out lost.write_failed)
check "records that a full disk has no room for are counted" [ "$lost" -gt 1000 ]
check_equal "each that was made is written or lost" 20000 $(($(figure full.out records) + lost))
check "why is in one line" sh -c '[ "$(wc -l <full.err)" = 1 ] && grep -q "cannot write: No space left on device" full.err'
check "a start on the full disk is possible" sh -c '"$1" write small/state records=10 >again.out 2>again.err; [ "$(tail -n 1 again.out | jq .next_seq)" = 20011 ]' - "$tool"
"$tool" read small/state sink >sink.out 2>sink.err || true
check "a cursor that cannot be saved is an error that names it" grep -qs "cannot write small/state/cursors/sink: No space left" sink.err

# --- and one that has room again ---
rm small/state/journal/000000000[1-3].lwj
"$tool" write small/state records=200 payload=300 segment=200000 frame=16384 >after.out
check_equal "once there is room, each record is written" 200 "$(figure after.out records)"
"$tool" read small/state all >all.out
made=$(($(figure after.out next_seq) - 1))
first=$(jq -n '[inputs][0].first_seq' < <(zstdcat small/state/journal/*.lwj))
check_equal "what is read and what is lost is all that was made since the first record that is left" "$((made - first + 1))" \
    $(($(figure all.out records) + $(figure all.out unwritten)))
check_equal "and nothing is damaged" 0 "$(figure all.out corrupt)"
check_equal "within limits it is never full" 0 "$("$tool" write small/state records=20000 payload=600 segment=100000 frame=16384 total=600000 | tail -n 1 | jq .lost.write_failed)"

# --- a disk that cannot be written to ---
mount -o remount,ro small
check_status "a state directory that cannot be written to is refused" 1 "$tool" open small/state
check "in one clear line" sh -c '[ "$(wc -l <stderr)" = 1 ] && grep -q "cannot write to the state directory small/state: Read-only file system (hint: " stderr'

# --- a start with all that a journal may have ---
"$tool" write large records=2000000 payload=1000 fsync=never >large.out
check "a journal of 512 MiB: $(($(figure large.out segment_bytes) >> 20))" [ "$(figure large.out segment_bytes)" -gt $((500 << 20)) ]
check "no larger" [ "$(figure large.out segment_bytes)" -le $((512 << 20)) ]
# The last segment as it is after a kill: whole frames, and a torn one.
last=$(printf '%s\n' large/journal/*.lwj | tail -n 1)
first=$(printf '%s\n' large/journal/*.lwj | head -n 1)
cp "$first" "${last%/*}/0000009999.lwj"
head -c 5000 "$first" >>"${last%/*}/0000009999.lwj"
"$tool" open large >open.out
check "its writer is ready within 1 s, here $(head -n 1 open.out | jq .ms) ms" [ "$(head -n 1 open.out | jq .ms)" -le 1000 ]
check "with at most 8 MiB more memory, here $(head -n 1 open.out | jq .peak_kib) KiB" [ "$(head -n 1 open.out | jq .peak_kib)" -le 8192 ]
check_equal "the torn frame is cut off" 5000 "$(figure open.out healed_bytes)"
