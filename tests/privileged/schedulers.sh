#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Threads of a runtime that moves tasks between threads, as Go's and Erlang's do, are no event loops: nothing is reported of them, at work
# and at rest, and one warning says why. A loop of the same process is watched all the same.
# Runs alone: it judges that healthy programs are not reported, and the durations of a stall.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/any_loop" "$fixtures/scheduler_go" "$fixtures/scheduler_erlang" "$fixtures/libscheduler_go.so"
sources=$root/tests/fixtures/scheduler
declare -A runtimes=([scheduler_go]=Go [scheduler_erlang]=Erlang [go]=Go [erlang]=Erlang) sessions
names=(scheduler_go scheduler_erlang)
# What differs between the two: below 100 ms, polls that do not sleep are always seen.
declare -A thresholds=([scheduler_go]="100ms 50ms" [scheduler_erlang]="100ms 50ms" [go]=50ms [erlang]=50ms [host]=50ms)

# says_why REPORT RUNTIME: in the warnings of the target's start or, of threads that were busy then, later.
says_why() {
    has_record "$1" "sum('$2' in w and 'not event loops' in w for x in of('target_start') for w in x['warnings']) + sum('$2' in x['text'] for x in of('warning')) == 1"
}

# sessions_of NAME: one at each threshold.
sessions_of() {
    local threshold
    for threshold in ${thresholds[$1]}; do
        watch "$1-$threshold" "$target" --threshold "$threshold"
        sessions[$1-$threshold]=$session
    done
}

start_fixture scheduler_go "$fixtures/scheduler_go"
sessions_of scheduler_go
start_fixture scheduler_erlang "$fixtures/scheduler_erlang"
sessions_of scheduler_erlang
# Stripped, and without the note that holds Go's build id, as they are often released.
if command -v go >/dev/null; then
    GOCACHE=$work/gocache go build -trimpath -ldflags='-s -w -buildid=' -o "$work/echo" "$sources/echo.go" || fail "echo.go does not build"
    start_fixture go "$work/echo"
    sessions_of go
    names+=(go)
else
    skip_check "a server in Go: no finding" "there is no go (golang-go has 464 MB)"
fi
if command -v erlc >/dev/null; then
    erlc -o "$work" "$sources/echo.erl" || fail "echo.erl does not build"
    start_fixture erlang erl -noshell -pa "$work" -s echo main
    sessions_of erlang
    names+=(erlang)
else
    skip_check "a server in Erlang: no finding" "there is no erl"
fi

# Not a synchronisation: the times that the programs are to be healthy. One after the other: a real one takes the CPUs that there are.
for name in "${names[@]}"; do
    ask "$name" load '^count'
    sleep 0.7
    ask "$name" rest '^count'
    check "$name: it was at work (${answer#count } tasks)" test "${answer#count }" -gt 300
done
sleep 0.5
for name in "${names[@]}"; do
    for threshold in ${thresholds[$name]}; do
        end_session "${sessions[$name-$threshold]}"
        check_silent "$name, threshold $threshold: no finding" "$name-$threshold"
        check "$name, threshold $threshold: one warning says why" says_why "$name-$threshold" "${runtimes[$name]}"
    done
    tell "$name" quit
done

start_fixture host env LD_PRELOAD="$fixtures/libscheduler_go.so" "$fixtures/any_loop" --dir "$work" epoll
sessions_of host
ask host "go sleep 3 150" '^done'
end_session "${sessions[host-50ms]}"
check "a host with a library in Go: its 3 stalls are found, and nothing else" has_record host-50ms \
    "len(of('slow_callback')) == 3 and all(any('sleep_too_long' in n for n in names(x['stack'])) for x in of('slow_callback', 'stall', 'blocking_call'))"
check "a host with a library in Go: one warning says what is not watched" says_why host-50ms Go
tell host quit
