#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A program on Asio or Boost.Asio, as it is but for one flag: each of its slow handlers is told once, by its type's name and where its
# operation was started, whatever the handler is. The same program without the flag is a loop like any other.
# Runs beside others, 20 s: it counts handlers that slept, not those that waited for a CPU.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo
need_program "$loopwatch" "$fixtures"/asio_{tracked_boost,tracked_asio,untracked_boost}
source_=$root/tests/fixtures/asio_tracked/asio_tracked.cpp
stalls=23 ms=30

# place_of KIND: the line that its operations are started on, as the source marks it.
place_of() { awk -v mark="// place: $1\$" '$0 ~ mark { print NR }' "$source_"; }

# held: of a session's slow dispatches those that slept; on a busy machine a quick one may be slow for want of a CPU.
held='[s for s in slow if any(x["kind"] == "sleep" and x["duration_ns"] >= 20e6 for x in s["sources"])]'

# slow_of SESSION: each distinct task of those, "count name line".
slow_of() {
    records "$1" '"\n".join(sorted("%s %s %s" % (n, t[0], t[1]) for t, n in __import__("collections").Counter(
        (s["task"]["name"], s["task"]["created_at"]["line"]) for s in '"$held"').items()))'
}

# The libraries differ by a prefix: all kinds of one, and of the other a few, but for LOOPWATCH_FULL=1.
kinds='callback stackless stackful awaitable composed strand threads nested'
declare -A kinds_of=([boost]=$kinds [asio]='callback awaitable threads')
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then kinds_of[asio]=$kinds; fi
for library in boost asio; do
    for kind in ${kinds_of[$library]}; do
        case $kind in
        callback) name='shop::Callback::wait()::<lambda()>' ;;
        stackless) name=shop::Stackless ;;
        stackful) name=async_wait ;;
        awaitable) name=shop::hold_awaitable/async_wait ;;
        composed) name=shop::hold_composed/async_read_some ;;
        *) name=shop::Held ;;
        esac
        session_=$library-$kind
        start_fixture "$session_" "$fixtures/asio_tracked_$library" "$kind"
        watch "$session_-s" "$target" --threshold 20ms
        ask "$session_" "go $stalls $ms" '^done' || fail "not done"
        wait_until 5 has_record "$session_-s" "len($held) >= $stalls" || true
        end_session
        check_equal "$library, $kind: 23 slow handlers are 23 findings, by name and place" \
            "$stalls $name $(place_of "$kind")" "$(slow_of "$session_-s")"
        check "$library, $kind: each as long as it was, asleep in the function that did it, on its loop" has_record "$session_-s" \
            "all(s['duration_ns'] >= ${ms}e6 and s['loop']['name'].startswith('loop-') and any(x['kind'] == 'sleep'
                 and any('hold_the_loop' in n for n in names(x['stack'])) for x in s['sources']) for s in $held)"
        check_equal "$library, $kind: nothing stays" "$untouched_" "$(memory_of "$target")"
        watch "$session_-quick" "$target" --threshold 20ms
        ask "$session_" "go $stalls 1" '^done' || fail "not done"
        end_session
        check_equal "$library, $kind: quick ones are none" "" "$(slow_of "$session_-quick")"
        tell "$session_" quit
    done
done
check_equal "4 threads that run handlers are 4 loops, the one that only posts is none" "['loop-0', 'loop-1', 'loop-2', 'loop-3']" \
    "$(records boost-threads-quick 'sorted(x["loop"]["name"] for x in of("loop_stats"))')"

# --- what is no dispatch ---
start_fixture pool "$fixtures/asio_tracked_boost" pool
watch pool-s "$target" --threshold 20ms
ask pool "go $stalls $ms" '^done' || fail "not done"
end_session
check_equal "what a thread_pool was given may block there" "" "$(slow_of pool-s)"
tell pool quit

start_fixture untracked "$fixtures/asio_untracked_boost" callback
watch untracked-s "$target" --threshold 20ms
ask untracked "go 5 $ms" '^done' || fail "not done"
end_session
check "without the flag there are no dispatches, but iterations" has_record untracked-s \
    'not slow and all(s["scope"] == "iteration" for s in of("slow_callback"))'
tell untracked quit

# --- attached while it hangs: nobody saw it begin ---
start_fixture hung "$fixtures/asio_tracked_boost" strand
tell hung "go 1 3600000"
wait_until 10 grep -q '^230 ' /proc/"$target"/task/*/syscall || fail "it does not sleep in clock_nanosleep"
watch hung-s "$target" --threshold 20ms
check "a handler that hangs already is told by its name" wait_until 10 has_record hung-s \
    'any(x["task"] and x["task"]["name"] == "shop::Held" and not x["start_known"] for x in of("stall"))'
end_session

# --- two sessions: what the first has kept is not believed by the second ---
start_fixture twice "$fixtures/asio_tracked_boost" callback
for i in 1 2; do
    watch "twice-$i" "$target" --threshold 20ms
    ask twice "go 5 $ms" '^done' || fail "not done"
    end_session
    check_equal "session $i finds its own 5" "5 shop::Callback::wait()::<lambda()> $(place_of callback)" "$(slow_of "twice-$i")"
    ask twice "go 5 1" '^done' || fail "not done"
done
tell twice quit

# --- each step of each ---
steps_of() {
    records "$1" "sorted({tuple(x['type'][5:] for x in r if x['type'].startswith('task_') and x['task_id'] == c['task_id'])
        for c in of('task_created') if c['name'] == '$2'})"
}
for kind in thrown cancelled callback; do
    start_fixture "trace-$kind" "$fixtures/asio_tracked_asio" "$kind"
    watch "trace-$kind-s" "$target" --trace --threshold 20ms --max-overhead 100
    ask "trace-$kind" "go 3 $ms" '^done' || fail "not done"
    end_session
    case $kind in
    thrown) name='shop::hold_thrown()::<lambda()>' outcome=exception ;;
    cancelled) name='shop::hold_cancelled()::<lambda()>' outcome=cancelled ;;
    callback) name='shop::Callback::wait()::<lambda()>' outcome=result ;;
    esac
    check_equal "$kind: created, started, finished, destroyed" "[('created', 'started', 'finished', 'destroyed')]" \
        "$(steps_of "trace-$kind-s" "$name")"
    check_equal "$kind: its outcome is $outcome" "['$outcome', '$outcome', '$outcome']" \
        "$(records "trace-$kind-s" "[x['outcome'] for x in of('task_finished') if x['task_id'] in
            [c['task_id'] for c in of('task_created') if c['name'] == '$name']]")"
    tell "trace-$kind" quit
done
