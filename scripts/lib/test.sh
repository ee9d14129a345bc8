# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# For test scripts: tests/<group>/<name>.sh BUILD_DIR sources this and then speaks in sentences:
#
#   #!/usr/bin/env bash
#   . "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
#   need_root
#   start_background server "$build/bin/order_server" --port 0       # pid in $started, output in $work/server.{out,err}
#   wait_output server 5 'listening on' || fail "no handshake"
#   check "the server answers" curl -sf "http://127.0.0.1:$port/"
#   check_equal "nothing stays attached" 0 "$(count_links)"
#
# The script's end is the verdict: 0 every check held, 1 one did not (or the script broke, or checked nothing), 77 skipped with
# the reason on the last line. Whatever start_background started is ended and $work is removed, however the script ends.
#
#   $root   source tree     $build  build directory (BUILD_DIR or build/)     $work  a fresh directory of this run

set -Eeuo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/lib/log.sh
. "$root/scripts/lib/log.sh"
build=$(realpath -m "${1:-$root/build}")
work=$(mktemp -d "${TMPDIR:-/tmp}/loopwatch-test.XXXXXX")
started=0  # pid of the last start_background
checks_passed_=0 checks_failed_=0 checks_skipped_=0 skipped_reason_="" background_=()

pass_() { checks_passed_=$((checks_passed_ + 1)); printf 'ok      %s\n' "$1"; }
fail_() { checks_failed_=$((checks_failed_ + 1)); printf 'FAIL    %s\n' "$1"; }
quote_() { sed 's/^/        | /' "$@" | tail -n 40; }

# check SENTENCE COMMAND…: the sentence holds if the command succeeds; if not, its output is shown and the script goes on. A
# function may stand for the command; `set -e` is off inside it, so chain its steps with &&.
check() {
    local sentence=$1
    shift
    if "$@" >"$work/.check" 2>&1; then pass_ "$sentence"; else
        fail_ "$sentence"
        printf '        %s\n' "$*"
        quote_ "$work/.check"
    fi
}

# check_not SENTENCE COMMAND…: the sentence holds if the command fails.
check_not() {
    local sentence=$1
    shift
    if "$@" >"$work/.check" 2>&1; then
        fail_ "$sentence"
        printf '        %s (succeeded)\n' "$*"
        quote_ "$work/.check"
    else pass_ "$sentence"; fi
}

# check_equal SENTENCE EXPECTED ACTUAL: compares text; shows a diff.
check_equal() {
    if [ "$2" = "$3" ]; then pass_ "$1"; else
        fail_ "$1"
        { diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") || true; } | sed -e 's/^</expected:/' -e 's/^>/actual:  /' | quote_
    fi
}

# check_status SENTENCE STATUS COMMAND…: exactly this exit status. Output goes to $work/{stdout,stderr}.
check_status() {
    local sentence=$1 expected=$2 status=0
    shift 2
    "$@" >"$work/stdout" 2>"$work/stderr" || status=$?
    if [ "$status" -eq "$expected" ]; then pass_ "$sentence"; else
        fail_ "$sentence"
        printf '        %s (status %s, not %s)\n' "$*" "$status" "$expected"
        cat "$work/stdout" "$work/stderr" | quote_
    fi
}

# skip_check SENTENCE REASON: this one cannot be looked at here; the script goes on.
skip_check() {
    checks_skipped_=$((checks_skipped_ + 1))
    skipped_reason_=$2
    printf 'skipped %s: %s\n' "$1" "$2"
}

# skip REASON: the whole script cannot run here. What failed before still fails.
skip() {
    if [ "$checks_failed_" -gt 0 ]; then exit 1; fi
    printf 'skipped: %s\n' "$1"
    exit 77
}

# fail REASON: nothing after this makes sense.
fail() {
    fail_ "$1"
    exit 1
}

need_root() { is_root || skip "needs root"; }
need_command() {
    local command
    for command; do command -v "$command" >/dev/null || skip "needs $command (scripts/setup installs it)"; done
}
# need_program PATH…: a program of this build.
need_program() {
    local program
    for program; do [ -x "$program" ] || fail "not built: $program"; done
}
# need_bpf: root, and a kernel that loads programs.
need_bpf() {
    need_root
    [ -e /sys/kernel/btf/vmlinux ] || skip "needs a kernel with BTF"
}

# start_background NAME COMMAND…: output in $work/NAME.out and NAME.err, stdin empty, pid in $started.
start_background() {
    local name=$1
    shift
    : >"$work/$name.out"
    : >"$work/$name.err"
    "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    started=$!
    background_+=("$started")
}

# wait_output NAME SECONDS PATTERN: until a started program has printed a line that matches (extended regular expression).
wait_output() {
    wait_until "$2" grep -qsE -- "$3" "$work/$1.out" "$work/$1.err" || {
        log "no '$3' from $1 within $2 s:"
        quote_ "$work/$1.out" "$work/$1.err" >&2
        return 1
    }
}

is_gone_() { [ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

# stop PID [SIGNAL [SECONDS]]: asks (SIGTERM), insists after SECONDS (10) with SIGKILL, reaps. The program's exit status is in
# $stopped_status.
stop() {
    local pid=$1
    stopped_status=0
    {
        kill -s "${2:-TERM}" "$pid" || true
        kill -s CONT "$pid" || true
        wait_until "${3:-10}" is_gone_ "$pid" || kill -s KILL "$pid" || true
        wait "$pid" || stopped_status=$?
    } 2>/dev/null  # kill's complaints, and the shell's own note on a job that was killed
}

finish_() {
    local status=$? pid
    trap - EXIT ERR
    set +e
    for pid in "${background_[@]}"; do is_gone_ "$pid" || stop "$pid" TERM 2; done
    rm -rf -- "$work"
    if [ "$status" -eq 77 ]; then exit 77; fi
    printf '%s checks held, %s failed, %s skipped\n' "$checks_passed_" "$checks_failed_" "$checks_skipped_"
    if [ "$status" -ne 0 ] || [ "$checks_failed_" -gt 0 ]; then exit 1; fi
    if [ "$checks_passed_" -gt 0 ]; then exit 0; fi
    if [ "$checks_skipped_" -eq 0 ]; then echo "FAIL    nothing was checked"; exit 1; fi
    printf 'skipped: %s\n' "$skipped_reason_"
    exit 77
}
trap finish_ EXIT
trap 'printf "FAIL    %s:%s: %s\n" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND" >&2' ERR
trap 'exit 130' INT TERM
