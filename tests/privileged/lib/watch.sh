# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034
# For scripts that hold a session of loopwatch against a fixture: programs that are told things line by line, sessions that are
# awaited, their NDJSON asked. Source after scripts/lib/test.sh.

loopwatch=$build/bin/loopwatch
fixtures=$build/bin/fixtures
declare -A voice_=()

# start_fixture NAME COMMAND…: its stdin is told by `tell`, its output stands in $work/NAME.out; ready when this returns, pid in $target.
start_fixture() {
    local name=$1
    start_told "$@"
    wait_output "$name" 10 '^ready' || fail "$name did not start"
    target=$(awk '/^ready/ { print $2; exit }' "$work/$name.out")
}

# start_told NAME COMMAND…: the same without waiting; pid in $started.
start_told() {
    local name=$1 fifo=$work/$1.in fd
    shift
    rm -f "$fifo"
    mkfifo "$fifo"
    exec {fd}<>"$fifo"
    voice_[$name]=$fd
    # shellcheck disable=SC2016
    start_background "$name" bash -c 'fifo=$1; shift; exec "$@" <"$fifo"' - "$fifo" "$@"
}

# tell NAME LINE: to its stdin.
tell() { printf '%s\n' "$2" >&"${voice_[$1]}"; }

# count_lines NAME PATTERN: of what it has said.
count_lines() { grep -cE -- "$2" "$work/$1.out" || true; }

has_lines_() { [ "$(count_lines "$1" "$2")" -ge "$3" ]; }

# ask NAME LINE PATTERN [SECONDS]: tells it and waits until it has said one more line that matches; that line is in $answer.
ask() {
    local before
    before=$(count_lines "$1" "$3")
    tell "$1" "$2"
    wait_until "${4:-20}" has_lines_ "$1" "$3" $((before + 1)) || {
        log "$1 did not answer '$2' with '$3':"
        quote_ "$work/$1.out" "$work/$1.err" >&2
        return 1
    }
    answer=$(grep -E -- "$3" "$work/$1.out" | tail -n 1)
}

# watch NAME PID [OPTION…]: a session in the background, live when this returns; its pid in $session, records in $work/NAME.out.
watch() {
    local name=$1 pid=$2
    shift 2
    start_background "$name" "$loopwatch" -p "$pid" --format ndjson "$@"
    session=$started
    wait_output "$name" 15 '"type":"session_start"' || {
        quote_ "$work/$name.err"
        fail "loopwatch did not start"
    }
}

# end_session [PID]: asks it to end; its exit status in $stopped_status.
end_session() { stop "${1:-$session}" INT 10; }

# ended_with PID: waits for a session that ends by itself; its exit status in $ended_status.
ended_with() {
    ended_status=0
    wait_until "${2:-10}" is_gone_ "$1" || return 1
    wait "$1" || ended_status=$?
}

# records NAME EXPRESSION: a Python expression over `r`, a list of this session's records; prints its value. `of(type)` filters, `slow` are
# the slow callbacks that are dispatches (on a slow machine an iteration of many may be one too).
records() {
    /usr/bin/python3 - "$work/$1.out" "$2" <<'PY'
import json, sys
r = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8") if line.endswith("}\n")]
of = lambda *types: [x for x in r if x["type"] in types]
slow = [x for x in of("slow_callback") if x["scope"] == "dispatch"]
names = lambda frames: [f.get("function") or "" for f in frames]
value = eval(sys.argv[2])
print(value if not isinstance(value, bool) else str(value).lower())
PY
}

# has_record NAME EXPRESSION: the expression is true. For wait_until and check.
has_record() { [ "$(records "$1" "bool($2)")" = true ]; }

# check_silent SENTENCE NAME: its session found nothing; what it found is shown.
check_silent() {
    check_equal "$1" '[]' "$(records "$2" '[(x["type"], x["verdict"], x.get("breakdown"), x["mono_ns"]) for x in of("slow_callback", "blocking_call", "stall")]')"
}

# --- what stays behind ---

# bpf_ids PID: the BPF links, programs and maps that a process holds, "link 12" a line. Empty once it is gone.
bpf_ids() {
    sed -nE 's/^(link|prog|map)_id:[[:space:]]*([0-9]+)$/\1 \2/p' "/proc/$1/fdinfo"/* 2>/dev/null | sort -u || true
}

# surviving_ids FILE: those of a list made by bpf_ids that the kernel still knows.
surviving_ids() {
    local kind id
    while read -r kind id; do
        if bpftool "$kind" show id "$id" >/dev/null 2>&1; then echo "$kind $id"; fi
    done <"$1"
}
all_gone() { [ -z "$(surviving_ids "$1")" ]; }

# memory_of PID: the bytes at its probe sites, the values of its semaphores, and whether a trampoline is mapped.
memory_of() { /usr/bin/python3 "$root/tests/privileged/lib/site_memory.py" "$1"; }
untouched_="sites 90 semaphores 0 trampoline no"
is_untouched() { [ "$(memory_of "$1")" = "$untouched_" ]; }

# resources_of PID: descriptors and mappings.
resources_of() { echo "$(find "/proc/$1/fd" -mindepth 1 | wc -l) descriptors $(wc -l <"/proc/$1/maps") mappings"; }
