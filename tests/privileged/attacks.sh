#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A target that lies, and an honest one beside it under the same session: the collector lives, ends when it is asked to, and the honest
# target's stalls are all reported, as if the other were not there.
# Runs alone: a program that waits for a CPU is slow too.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command objcopy
need_program "$loopwatch" "$fixtures/hostile" "$fixtures/stall"
cd "$work"
count=5

# beside LIE: a session that watches both; the honest one stalls while the other lies, and afterwards. Its peak in MiB is in $peak.
beside() {
    local lie=$1 honest liar
    start_fixture "honest-$lie" "$fixtures/stall" --dir "$work" sleep $count 150
    honest=$target
    start_told "$lie" "$fixtures/hostile" "$lie"
    liar=$started
    wait_output "$lie" 10 '^ready' || fail "$lie: not ready"
    watch "$lie-report" "$liar,$honest"
    ask "honest-$lie" go '^done' 30 || fail "$lie: the honest target is not done"
    wait_output "$lie" 30 '^lied' || fail "$lie: it has not lied"
    ask "honest-$lie" go '^done' 30 || fail "$lie: the honest target is not done"
    peak=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$session/status")
    stop "$session" TERM 5
    check_equal "$lie: the session ends with its summary when it is asked to" "0 session_end" "$stopped_status $(records "$lie-report" 'r[-1]["type"]')"
    check_equal "$lie: the honest target's $((2 * count)) stalls are reported" $((2 * count)) \
        "$(records "$lie-report" "len([x for x in slow if x['pid'] == $honest and x['duration_ns'] > 149e6])")"
    stop "$liar" KILL
    tell "honest-$lie" quit
}

beside sequence
beside future
check "future: a time that is yet to come is counted" has_record future-report 'r[-1]["lost"]["time_wild"] > 1000'
check "future: no record carries it" has_record future-report 'all(x["mono_ns"] <= r[-1]["mono_ns"] for x in r)'

beside flood
check "flood: of a process as many loops are kept as fit, the others are counted" has_record flood-report 'r[-1]["lost"]["loops_untracked"] > 19000'
check "flood: the session goes on all the while" has_record flood-report \
    'max((b["mono_ns"] - a["mono_ns"] for a, b in zip(r, r[1:])), default=0) < 1.5e9'
beside slots
check "slots: loops beyond its share are counted" has_record slots-report '8 < r[-1]["lost"]["loops_untracked"] < 30'

beside endless
check "endless: the session takes less than 160 MiB: $peak" test "$peak" -lt 160
check "endless: what is left out is counted" has_record endless-report 'r[-1]["lost"]["dispatch_book"] > 1000'
check "endless: each loop's stalls are told" has_record endless-report \
    'len({x["tid"] for x in of("stall") if x["loop"]["name"] == "endless"}) == 48'

# The files of one target are on a server that does not answer any more: to open them, or to read them, never returns.
# mounted_target NAME DEAD-FILES-ARGUMENT…: it runs, and its server answers until dies NAME.
mounted_target() {
    local name=$1
    shift
    mkdir -p "$work/mounted"
    start_told "$name" "$fixtures/dead_files" "$@"
    server=$started
    wait_output "$name" 10 '^runs' || fail "$name: does not run"
    dead=$(awk '/^runs/ { print $2 }' "$work/$name.out")
    wait_until 10 sleeps "$dead" || fail "$name: does not sleep"
}
sleeps() { grep -q nanosleep "/proc/$1/wchan"; }
dies() { ask "$1" die '^dead' || fail "$1: the server has not stopped"; }
dead_target() { mounted_target "$@" && dies "$1"; }
# beside_dead NAME: a session of the dead target and an honest one.
beside_dead() {
    local name=$1 began=$SECONDS
    watch "$name-report" "$dead,$honest"
    check "$name: the others are watched within 2 s: $((SECONDS - began))" test $((SECONDS - began)) -le 2
    ask honest-dead go '^done' 30 || fail "$name: the honest target is not done"
    check "$name: their process is left out, and the report says so" wait_until 15 has_record "$name-report" \
        "any('process $dead is not watched: the files' in x['text'] for x in of('warning'))"
    stop "$session" TERM 5
    check_equal "$name: the session ends when it is asked to" "0 session_end" "$stopped_status $(records "$name-report" 'r[-1]["type"]')"
    check_equal "$name: the honest target's $count stalls are reported" $count \
        "$(records "$name-report" "len([x for x in slow if x['pid'] == $honest and x['duration_ns'] > 149e6])")"
    watch "$name-report" "$dead,$honest"
    stop "$session" TERM 1
    check_equal "$name: also at once" 0 "$stopped_status"
    stop "$server" KILL
}
start_fixture honest-dead "$fixtures/stall" --dir "$work" sleep $count 150
honest=$target
if [ ! -c /dev/fuse ]; then
    skip_check "dead files" "this kernel has no FUSE"
else
    dead_target dead-files "$work/mounted" /usr/bin/sleep 1000
    beside_dead dead-files
    dead_target dead-reads --reads "$work/mounted" "$(ldd "$loopwatch" | awk '/libm\.so/ { print $3 }')" /usr/bin/sleep 1000
    beside_dead dead-reads

    # Its debug file is looked for beside its program, which takes as long as the server does.
    objcopy --only-keep-debug "$fixtures/napper" napper.debug
    objcopy --strip-all --add-gnu-debuglink=napper.debug "$fixtures/napper" napper
    dead_target dead-names --others "$work/mounted" "$work/napper" 1000000
    watch dead-names-report "$dead,$honest" --threshold 20ms
    check "dead-names: a target whose debug file cannot be looked up is watched" wait_until 5 has_record dead-names-report \
        "[x for x in of('slow_callback') if x['pid'] == $dead]"
    ask honest-dead go '^done' 30 || fail "dead-names: the honest target is not done"
    stop "$session" TERM 5
    check_equal "dead-names: the session ends when it is asked to" "0 session_end" "$stopped_status $(records dead-names-report 'r[-1]["type"]')"
    check_equal "dead-names: the honest target's $count stalls are reported" $count \
        "$(records dead-names-report "len([x for x in slow if x['pid'] == $honest and x['duration_ns'] > 149e6])")"
    stop "$server" KILL

    # A program of run --inside becomes one whose files die before they are looked at: loopwatch is stopped meanwhile.
    for name in inside-soon inside-late; do
        mounted_target "$name-server" "$work/mounted" /usr/bin/sleep 1000
        # shellcheck disable=SC2016
        start_told "$name-run" nsenter -m -t "$dead" "$loopwatch" run --inside --format ndjson -o "$work/$name.out" -- \
            sh -c 'read -r _ && exec "$0" 1000' "$work/mounted/program"
        session=$started
        wait_until 10 has_record "$name" 'of("target_start")' || fail "$name: the shell is not watched"
        kill -STOP "$session"
        tell "$name-run" go
        wait_until 10 pgrep -P "$session" -x program || fail "$name: the program does not run"
        program=$(pgrep -P "$session" -x program)
        wait_until 10 sleeps "$program" || fail "$name: the program does not sleep"
        dies "$name-server"
        kill -CONT "$session"
        check "$name: the session goes on while the files of its program are opened" wait_until 5 has_record "$name" \
            '[x for x in of("target_end") if x["reason"] == "exec"]'
        [ "$name" = inside-soon ] || check "$name: they are waited for no longer than 10 s" wait_until 12 has_record "$name" \
            'any("could not be opened and read within 10" in x["text"] for x in of("warning"))'
        stop "$session" TERM 1
        check_equal "$name: it ends when it is asked to, with its program" "143 session_end" "$stopped_status $(records "$name" 'r[-1]["type"]')"
        kill -KILL "$program" 2>/dev/null || true
        check_equal "$name: and says why it has seen nothing" "1 1" \
            "$(records "$name" '"%d %d" % (sum("could not be opened and read within" in x["text"] for x in of("warning")), sum(x["lost"]["processes_missed"] for x in of("session_end")))')"
        stop "$server" KILL
    done

    # Its program maps code from there, and more code once the server is dead: what it maps is opened again.
    mounted_target inside-maps-server "$work/mounted" /usr/bin/sleep 1000
    cat >maps.py <<'PY'
import asyncio, ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
def map_code(path):
    file = os.open(path, os.O_RDONLY)
    libc.mmap(None, 4096, 5, 2, file, 0)  # PROT_READ | PROT_EXEC, MAP_PRIVATE
    os.close(file)
async def main():
    map_code(sys.argv[1])
    for _ in range(50):
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    map_code("/bin/true")
    await asyncio.sleep(1)
    for _ in range(int(sys.argv[2])):
        time.sleep(0.15)
        await asyncio.sleep(0.05)
asyncio.run(main())
PY
    start_told inside-maps-run nsenter -m -t "$dead" "$loopwatch" run --inside --interval 200ms --format ndjson -o "$work/inside-maps.out" -- \
        /usr/bin/python3 "$work/maps.py" "$work/mounted/program" $count
    session=$started
    wait_output inside-maps-run 10 '^ready' || fail "inside-maps: it does not run"
    dies inside-maps-server
    tell inside-maps-run go
    check "inside-maps: the session ends with its program" ended_with "$session" 10
    stop "$session" KILL
    check_equal "inside-maps: its $count stalls are reported" $count \
        "$(records inside-maps 'len([x for x in of("slow_callback") if x["duration_ns"] > 149e6])')"
    stop "$server" KILL
fi
tell honest-dead quit

began=$SECONDS
beside lease
check "lease: no open waits for it ($((SECONDS - began)) s in all)" test $((SECONDS - began)) -lt 20

# Files that take long to look at: stalls of the others are reported while they go on.
start_fixture honest-slow "$fixtures/stall" --dir "$work" sleep 3 1000
honest=$target
start_told slow "$fixtures/hostile" slow
liar=$started
wait_output slow 10 '^ready' || fail "slow: not ready"
watch slow-report "$liar,$honest"
wait_output slow 10 '^lied' || fail "slow: it has not lied"
ask honest-slow go '^done' 20 || fail "slow: the honest target is not done"
end_session
check "slow: each stall of a second is reported within 0.6 s: $(records slow-report "[(x['dispatch_seq'], x['duration_ns'] // 1000000) for x in of('stall')]")" has_record slow-report \
    "len({x['dispatch_seq'] for x in of('stall') if x['pid'] == $honest and x['duration_ns'] < 600e6}) == 3"
stop "$liar" KILL
tell honest-slow quit

# A target that ends while names are awaited: its session does not wait with it.
start_fixture stays "$fixtures/stall" --dir "$work" sleep 1 120
stays=$target
start_fixture ends "$fixtures/stall" --dir "$work" sleep 1 120
watch ends-report "$stays,$target"
kill -STOP "$(pgrep -P "$session" -x loopwatch-sym)"
ask ends go '^done' || fail "ends: not done"
tell ends quit
check "a target that ends while the worker hangs is reported" wait_until 10 has_record ends-report "[x['pid'] for x in of('target_end')] == [$target]"
end_session
check "after its last finding" has_record ends-report "[x['type'] for x in r if x.get('pid') == $target and x['type'] in ('slow_callback', 'target_end')] == ['slow_callback', 'target_end']"
check "and meanwhile the session goes on: statistics came $(records ends-report '[round((b["mono_ns"] - a["mono_ns"]) / 1e6) for a, b in zip(of("session_stats"), of("session_stats")[1:])]') ms apart" \
    has_record ends-report 'len(of("session_stats")) > 3 and max(b["mono_ns"] - a["mono_ns"] for a, b in zip(of("session_stats"), of("session_stats")[1:])) < 1.5e9'
tell stays quit

# A target that fills the ring as fast as it is read: neither the end of another one nor the session's own waits until there is nothing more.
start_fixture honest-torrent "$fixtures/stall" --dir "$work" sleep $count 150
honest=$target
start_fixture leaves "$fixtures/stall" --dir "$work" sleep 1 120
leaves=$target
start_told torrent "$fixtures/hostile" torrent
liar=$started
wait_output torrent 10 '^ready' || fail "torrent: not ready"
watch torrent-report "$liar,$honest,$leaves"
flows() { has_record torrent-report 'len(of("slow_callback")) > 100'; }
wait_until 10 flows || fail "torrent: nothing comes"
tell leaves quit
check "torrent: a target that ends meanwhile is reported" wait_until 3 has_record torrent-report "[x['pid'] for x in of('target_end')] == [$leaves]"
ask honest-torrent go '^done' 30 || fail "torrent: the honest target is not done"
check_not "torrent: while the other goes on" grep -q '^lied' torrent.out
stop "$session" TERM 2
check_equal "torrent: the session ends when it is asked to" "0 session_end" "$stopped_status $(records torrent-report 'r[-1]["type"]')"
check_equal "torrent: it takes no room of others: the honest target's $count stalls are reported" $count \
    "$(records torrent-report "len([x for x in slow if x['pid'] == $honest and x['duration_ns'] > 149e6])")"
check "torrent: what was too much is counted" has_record torrent-report 'r[-1]["lost"]["ring_full"] > 0'
stop "$liar" KILL
tell honest-torrent quit

# A reader that takes nothing: 12 stalls are more than the pipe holds.
start_fixture unread "$fixtures/stall" --dir "$work" sleep 12 120
mkfifo unread.fifo
exec 9<>unread.fifo
start_background unread-report bash -c 'exec "$@" >unread.fifo' - "$loopwatch" -p "$target" --format ndjson
session=$started
is_watched() { ! is_untouched "$target"; }
wait_until 15 is_watched || fail "unread: not watched"
ask unread go '^done' 30 || fail "unread: not done"
stop "$session" TERM 2
check_equal "a session whose report is not read ends when it is asked to" 1 "$stopped_status"
check "and leaves nothing behind" wait_until 2 is_untouched "$target"
check "and says why" grep -q 'cannot write to stdout: its reader takes nothing' unread-report.err
tell unread quit

start_background ring-run timeout 40 "$loopwatch" run --inside --format ndjson -o ring.out -- "$fixtures/hostile" ring
runs=$started
check "ring: the session of a program that lies in its ring ends with it" ended_with "$runs" 20
check_equal "ring: with the program's status" 0 "$ended_status"
check "ring: the lie is counted" has_record ring 'r[-1]["type"] == "session_end" and r[-1]["lost"]["record_undecodable"] > 0'
