#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The journal, by a program that writes and reads it as the daemon does (journal_tool): what people read it with, a writer that is killed at
# 50 random moments, a reader likewise, and two writers at once.
# Runs beside others, 12 s: it counts records, and judges no time.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command jq zstd od
tool=$build/bin/tests/journal_tool
need_program "$tool"
cd "$work"

# figure FILE NAME: of the JSON that the tool prints last.
figure() { tail -n 1 "$1" | jq ".$2"; }
# made_ WHICH: 1 records whose append began, 2 those whose append was done.
made_() { od -An -tu8 made | awk -v which="$1" '{ print $which }'; }

# --- what it is made of ---
"$tool" write plain records=3000 payload=300 segment=300000 frame=16384 >plain.out
check_equal "each record is there once" 3000 "$(zstdcat plain/journal/*.lwj | jq -r 'select(.seq) | .instance + ":" + (.seq | tostring)' | sort -u | wc -l)"
check "each segment can be read by itself, and begins with what it takes to understand it" sh -c '
    for file in plain/journal/*.lwj; do
        zstdcat "$file" | head -n 2 | jq -s -e ".[0].type == \"segment\" and .[0].first_seq == .[1].seq and .[0].instance == .[1].instance" || exit 1
    done'
check "each frame has a checksum" sh -c 'zstd -lv plain/journal/0000000001.lwj | grep -q "^Check: XXH64"'
check "no segment is larger than asked for" sh -c '[ "$(stat -c %s plain/journal/*.lwj | sort -n | tail -n 1)" -le 300000 ]'
check "it is its owner's only" [ "$(stat -c %a plain plain/journal plain/instance | sort -u | tr '\n' ' ')" = "600 700 " ]

# --- killed at any moment ---
# The next one finds how many records were numbered, and which of them no file has.
unsafe=0 settled=0
for round in $(seq 50); do
    start_background writer "$tool" write killed made=made payload=300 segment=300000 frame=16384 fsync=never "pause-us=$(((round % 3 + 1) * 20))"
    wait_output writer 10 '^settled' || fail "it writes nothing"
    /usr/bin/python3 -c "import random, time; time.sleep(random.uniform(0, 0.08))"  # the moment is what is random
    stop "$started" KILL
    # A line may be cut by the kill.
    settled=$(grep -E '^settled [0-9]+$' writer.out | sed -n '$!p' | tail -n 1 | cut -d' ' -f2)
    # What was settled is in the journal, or was counted as lost by the writer: a reader comes at least that far.
    "$tool" read killed "at-$round" >at.out || unsafe=$((unsafe + 1))
    [ "$(figure at.out next_seq)" -ge "${settled:-0}" ] || unsafe=$((unsafe + 1))
    rm -f "killed/cursors/at-$round"
done
check_equal "50 kills: what was settled before survives each" 0 "$unsafe"
"$tool" write killed records=1 made=made >last.out
"$tool" read killed all >all.out
total=$(($(figure all.out records) + $(figure all.out unwritten)))
check "records were lost on their way, as no process can help" [ "$(figure all.out unwritten)" -gt 0 ]
check "what was read and what was lost is what was made: $total, of $(made_ 2) to $(made_ 1)" \
    sh -c '[ "$1" -ge "$2" ] && [ "$1" -le "$3" ]' - "$total" "$(made_ 2)" "$(made_ 1)"
check_equal "it is what the next number says" "$total" $(($(figure last.out next_seq) - 1))
check_equal "nothing is damaged" 0 "$(figure all.out corrupt)"

# --- a reader that is killed ---
kills=0
while [ $kills -lt 20 ]; do
    start_background reader "$tool" read killed sink got
    /usr/bin/python3 -c "import random, time; time.sleep(random.uniform(0, 0.02))"  # likewise
    stop "$started" KILL
    kills=$((kills + 1))
done
"$tool" read killed sink got >sink.out
check_equal "a reader killed 20 times has each record, some twice" "$(figure all.out records)" \
    "$(grep -aoE '^\{"seq":[0-9]+' got | sort -u | wc -l)"
check_equal "and counts each once" "$(figure all.out records) $(figure all.out unwritten)" "$(figure sink.out records) $(figure sink.out unwritten)"

# --- two at once ---
mkfifo open_end
exec {end}<>open_end
"$tool" hold plain <open_end >holder.out &
holder=$!
background_+=("$holder")
wait_until 10 grep -q '^held by' holder.out || fail "not held"
check_status "a second writer is refused" 1 "$tool" open plain
check "with the first one's pid" grep -q "the state directory plain is in use by process $holder (hint: " stderr
exec {end}>&-
stop "$holder" KILL
check_status "the lock ends with its process" 0 "$tool" open plain
echo 2 >plain/version
check_status "a directory of a newer version is refused" 1 "$tool" open plain
check "in one line that says so" sh -c '[ "$(wc -l <stderr)" = 1 ] && grep -q "is of version 2, this loopwatch knows version 1" stderr' 
