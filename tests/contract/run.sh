#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `loopwatch run`, as a user without rights: what blocks a server's loops is named, programs end as they would without, and the gate fails
# what it should and nothing else. (Programs that are hard on it: run_guests.sh.)
# Runs alone: a program that waits for a CPU is slow too, and that is a finding.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/contract/lib/inside.sh"
need_command curl python3 g++
need_program "$build/bin/order_server" "$fixtures/any_loop" "$fixtures/first_callback"

# served NAME "PATHS" OPTIONS…: order_server under a session, asked for these.
served() {
    local name=$1 paths=$2 path
    shift 2
    rm -f "$name.out"
    start_background "$name-server" "${user[@]}" "$loopwatch" run --inside --format ndjson -o "$name.out" "$@" -- "$build/bin/order_server"
    wait_output "$name-server" 10 '^listening on' || fail "$name: no server"
    port=$(sed -n 's/^listening on .*://p' "$name-server.out")
    for path in $paths; do curl -s -m 10 -o /dev/null "http://127.0.0.1:$port/$path" || fail "$name: no answer from $path"; done
    stop "$started" INT
    status=$stopped_status
}

# --- whether it will work here ---
"${user[@]}" "$loopwatch" doctor >doctor.out || true
"${user[@]}" env LOOPWATCH_PRELOAD=/nowhere/shim.so "$loopwatch" doctor >no_shim.out || true
check "doctor says that run works" grep -qE '^ok +run +from ' doctor.out
check "or what it lacks" grep -qE '^MISSING +run ' no_shim.out

# --- a server with probes ---
served server "fsync lock cpu dns sleep log ok/fsync ok/lock ok/sleep"
check_equal "a server that is asked to end ends well" 0 "$status"
# named PATH CALL FUNCTION
named() {
    check "/$1 is named: $2 in $3, told once" has_record server \
        "(lambda s: len(s) == 1 and s[0]['sources'][0]['call'] in '$2'.split('|') and any('$3' in n for n in names(s[0]['stack'])) and s[0]['origin'] == 'preload' and s[0]['sources'][0]['duration_ns'] > 0.5 * s[0]['duration_ns'])([s for s in slow if s['task']['name'] == 'GET /$1'])"
}
named fsync fsync shop::Store::flush
named lock pthread_mutex_lock shop::Catalog::fresh_price
named dns getaddrinfo shop::resolve_supplier
named sleep nanosleep shop::wait_for_courier
named log write shop::AccessLog::append
check "/cpu is in no call, and said to be" has_record server \
    "(lambda s: len(s) == 1 and s[0]['breakdown']['blocked_ns'] == 0 and 'on CPU, waiting for one, or in short calls (without root' in s[0]['verdict'])([s for s in slow if s['task']['name'] == 'GET /cpu'])"
check "a blocking call has its line" has_record server \
    "any(f.get('line', 0) > 0 and f.get('file', '').endswith('.cpp') for b in of('blocking_call') if b['call'] == 'nanosleep' for f in b['stack'])"
check "what never blocked for long is told of nothing" has_record server "not [x for x in of('slow_callback', 'blocking_call', 'stall') if x['task'] and x['task']['name'].startswith('GET /ok')]"
check "stalls are told while they last" has_record server "len(of('stall')) >= 5"
check "a stall stands in the call it stands in" has_record server "any(x['sources'][0]['call'] == 'nanosleep' and any('wait_for_courier' in n for n in names(x['stack'])) for x in of('stall'))"
check "nothing is lost" has_record server "not any(r[-1]['lost'].values())"
check "what is not measured without a kernel side is absent" has_record server "not {'bpf_runs', 'bpf_ns', 'map_bytes'} & set(of('session_end')[0]['overhead'])"
check "the records are the schema's" "${user[@]}" /usr/bin/python3 - "$work/server.out" "$loopwatch" <<'PY'
import json, subprocess, sys, jsonschema
schema = jsonschema.Draft202012Validator(json.loads(subprocess.run([sys.argv[2], "schema"], capture_output=True, check=True).stdout))
for line in open(sys.argv[1], encoding="utf-8"):
    schema.validate(json.loads(line))
PY
check_equal "no ring stays behind" "" "$(find /dev/shm /tmp -maxdepth 1 -name 'loopwatch-??????' -user $nobody 2>/dev/null)"

# However the runtime is linked, it finds the shim, and the shim it.
cat >serve.cpp <<'CPP'
#include <unistd.h>

#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/spawn.hpp>
static loopwatch::Task<> save()
{
    usleep(150000);
    co_return;
}
int serve()
{
    loopwatch::Loop loop("main");
    loopwatch::spawn(loop, save(), "save");
    loop.run();
    return 0;
}
CPP
printf 'int serve();\nint main() { return serve(); }\n' >main.cpp
runtime=("$build/lib/libloopwatch_rt.a" -pthread -ldl)
g++ -std=c++20 -g -O1 -fPIC -DASIO_STANDALONE -I "$root/runtime_probes/include" -c serve.cpp -o serve.o || fail "serve.cpp does not compile"
g++ -pie main.cpp serve.o "${runtime[@]}" -o linked_pie
g++ -no-pie main.cpp serve.o "${runtime[@]}" -o linked_no_pie
g++ -shared serve.o "${runtime[@]}" -o libserve.so && g++ main.cpp ./libserve.so -o linked_shared
for way in pie no_pie shared; do
    ran linked -- "./linked_$way"
    check_equal "linked as $way: the task is known that slept" "0 save usleep" \
        "$status $(records linked "' '.join(s['task']['name'] + ' ' + s['sources'][0]['call'] for s in of('slow_callback'))")"
done

# --- programs without probes ---
ran python -- /usr/bin/python3 loop.py
check_equal "python ends as it would" 0 "$status"
check_equal "its two slow iterations, and no more" "clock_nanosleep waitpid" \
    "$(records python '" ".join(s["sources"][0]["call"] for s in of("slow_callback") if s["sources"][0]["call"])')"
check_equal "and its two calls" "clock_nanosleep waitpid" "$(records python '" ".join(s["call"] for s in of("blocking_call"))')"
# loops LOOP:THREADS…: side by side, healthy under load and at rest, threads that park among them; then, one after the other, it is not.
loops() {
    local pair loop
    local -A session_of
    for pair; do
        loop=${pair%:*}
        rm -f "$loop.out"
        start_told "$loop-run" "${user[@]}" "$loopwatch" run --inside --threshold 50ms -o "$loop.out" --format ndjson -- \
            "$fixtures/any_loop" --threads "${pair#*:}" --dir "$work" "$loop"
        session_of[$loop]=$started
        wait_output "$loop-run" 10 '^ready' || fail "$loop did not start"
        ask "$loop-run" "load 20" '^done'
    done
    # Not a synchronisation: the time that the programs are to be healthy.
    sleep 1
    for loop in "${!session_of[@]}"; do ask "$loop-run" rest '^done'; done
    sleep 1
    for loop in "${!session_of[@]}"; do
        ask "$loop-run" "go sleep 5 100" '^done'
        tell "$loop-run" quit
        ended_with "${session_of[$loop]}" || fail "$loop does not end"
        check_equal "$loop: five sleeps, five slow iterations, five calls, nothing else" "5 5 []" \
            "$(records "$loop" "'%d %d %s' % (len([s for s in of('slow_callback') if s['sources'][0]['kind'] == 'sleep']), len([b for b in of('blocking_call') if b['kind'] == 'sleep']), [x['verdict'] for x in of('slow_callback', 'blocking_call', 'stall') if 'sleep' not in (x.get('kind'), (x.get('sources') or [{}])[0].get('kind'))] or [(b['mono_ns'], b['tid'], b['verdict']) for b in of('blocking_call')][5:])")"
        check "$loop: of an iteration, with the function" has_record "$loop" \
            "all(s['scope'] == 'iteration' and any('sleep_too_long' in n for n in names(s['stack'])) for s in of('slow_callback') if s['sources'][0]['kind'] == 'sleep')"
    done
}
# Each takes a fifth of a CPU.
loops asio:4 boost:2
loops followers:3 uv:1
loops event:1 epoll:1
loops uring:1 aio:1

# --- how programs end ---
check_equal "its limit of open files is its own, not what loopwatch raises for itself" 96 \
    "$(ulimit -Sn 96; "$loopwatch" run --inside -- sh -c 'ulimit -Sn' 2>/dev/null)"
for case in "0 true" "1 false" "7 sh -c 'exit 7'" "137 sh -c 'kill -9 \$\$'" "0 sh -c 'exec sh -c \"exit 0\"'"; do
    eval "ran end -- ${case#* }"
    check_equal "${case#* } ends with ${case%% *}" "${case%% *}" "$status"
done
check_equal "stdout is the program's alone, its options are its own" "--threshold -- x" \
    "$("${user[@]}" "$loopwatch" run --quiet -- echo --threshold -- x 2>/dev/null)"
ran pipe -- sh -c 'yes | head -n 1'
check_equal "a closed pipe ends what writes to it" "0 y" "$status $(grep -x y pipe.said)"
check_status "a program's end is its own" 7 "${user[@]}" "$loopwatch" run --inside --format text -- sh -c 'exit 7'
check "people are told how it ended" grep -q 'exited, status 7$' stderr
check "and what was watched, as far as it was seen before it ended" \
    grep -qE '^watching [^:]* \(pid [0-9]+\)(: [^ ]+)?, loops: none yet; no probes: whole loop passes are timed, the shim$' stderr
# 40 of them: some end before the collector has looked at their rings (where only living ones were looked at, 1 in 50).
met=0
for _ in $(seq 40); do
    ran brief -- true
    [ "$(records brief '[x["comm"] for x in of("target_start", "target_end")]')" = "['true', 'true']" ] && met=$((met + 1))
done
check_equal "a program that ends at once is seen, however quick it is" 40 $met
# A script that becomes another program, some of the times before the collector has looked at its ring.
printf '#!/bin/sh\nexec /usr/bin/env true\n' >becomes
chmod +x becomes
named=0
for _ in $(seq 20); do
    ran became -- ./becomes
    has_record became '(lambda n: n[:1] == ["becomes"] and n == [x for x in ["becomes", "env", "true"] if x in n])([x["comm"] for x in of("target_start")])' && named=$((named + 1))
done
check_equal "a script that executes other programs is named first, then these" 20 $named
cat >listens.py <<'PY'
import signal, sys, time
got = []
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGALRM, signal.SIGWINCH):
    signal.signal(number, lambda number, _: got.append(number))
print("ready", flush=True)
while len(got) < 5:
    time.sleep(0.01)
PY
start_background listens "${user[@]}" timeout -k 1 20 "$loopwatch" run --inside -o listens.report -- /usr/bin/python3 listens.py
wait_output listens 10 '^ready' || fail "listens.py did not start"
session=$(pgrep -P "$started" -x loopwatch)
for name in USR1 USR2 QUIT ALRM WINCH; do kill -s "$name" "$session"; done
check "signals that end nothing are handed on" ended_with "$started"
printf 'int main(){return 0;}' >still.c
gcc -static -o still still.c
chmod 4755 still && cp --preserve=mode still setuid
refused "a static program is refused" 4 "statically linked" "$loopwatch" run -- /sbin/ldconfig
if is_root; then refused "a setuid one is" 4 "setuid" "$loopwatch" run -- "$(command -v su)"; fi
refused "one that is not there is" 5 "no such program" "$loopwatch" run -- no_such_program
refused "one that cannot be executed is" 5 "cannot be executed" "$loopwatch" run -- ./loop.py
refused "a report that cannot be written is" 1 "/nowhere" "$loopwatch" run --report junit:/nowhere/report -- touch started
check_not "before anything is started" test -e started
refused "a threshold below the floor is" 2 "LOOPWATCH_FLOOR" "$loopwatch" run --threshold 50us -- true
refused "a thread of what does not run yet is" 2 "--tid: no option of run" "$loopwatch" run --tid 5 -- true
refused "a file without a name is" 2 "is empty" "$loopwatch" run --suppressions "" -- true
refused "a program's options without -- are" 2 "put -- before" "$loopwatch" run true --port 0
refused "no program is" 2 "no program given" "$loopwatch" run
refused "a pid is" 2 ": no option of run" "$loopwatch" run -p 1 -- true
refused "what needs the kernel is" 2 "kernel side" "$loopwatch" run --inside --trace -- true
refused "a missing shim is" 4 "no libloopwatch_preload.so" env LOOPWATCH_PRELOAD=/nowhere "$loopwatch" run -- true
# Of other machines and libcs there is none here: what ELF headers say of them.
gcc -o plain still.c
sed 's|/lib64/ld-linux-x86-64.so.2|/lib/ld-musl-x86_64.so.1\x00\x00\x00|' plain >musl
cp plain foreign && printf '\267\0' | dd of=foreign bs=1 seek=18 conv=notrunc status=none # e_machine: EM_AARCH64
chmod 755 musl foreign
refused "one for musl is" 4 "musl" "$loopwatch" run -- ./musl
refused "one for another processor is" 4 "64-bit x86" "$loopwatch" run -- ./foreign
refused "a 32-bit one is" 4 "64-bit x86" "$loopwatch" run -- "$fixtures/program_32bit"

# --- the gate ---
cat >rules <<'RULES'
allow lock inside shop::Catalog::* up to 1s
allow sleep until 2020-01-01
allow file_io inside shop::Store::flush {
    deny call fsync
}
allow call never_called
RULES
served gate "lock fsync sleep" --fail-on blocking_call:lock,slow_callback:file_io --suppressions rules --report junit:gate.xml \
    --report sarif:gate.sarif --write-baseline known
check_equal "what is named fails" 3 "$status"
check_equal "a baseline and reports are for those to read whom the umask leaves them" "644 644" "$(stat -c %a known gate.xml | xargs)"
check_equal "what a rule allows is not told" 0 "$(records gate 'len([x for x in of("slow_callback", "blocking_call", "stall") if "Catalog" in x["verdict"]])')"
check "each rule says how often it decided" sh -c \
    'grep -q "rules:1: decided on [1-9]" "$1" && grep -q "rules:2: has expired" "$1" && grep -q "rules:4: decided on [1-9]" "$1" && grep -q "rules:6: was never needed" "$1"' - gate-server.err
check "an event once, with its stalls and calls" grep -q 'rules:1: decided on 1 finding:' gate-server.err
check "and what failed, on stderr" grep -qE '^loopwatch: --fail-on: (blocking_call|slow_callback)( ×[0-9]+)?: .* loop .*' gate-server.err
check_equal "JUnit has the one failure" "1 slow_callback:file_io" "$(/usr/bin/python3 -c '
import xml.etree.ElementTree as tree
cases = tree.parse("gate.xml").getroot().findall(".//failure")
print(len(cases), cases[0].get("type"))')"
check_equal "SARIF has it, with its line" "slow_callback:file_io store.cpp True" "$(/usr/bin/python3 -c '
import json, os
r = json.load(open("gate.sarif"))["runs"][0]["results"][0]
place = r["locations"][0]["physicalLocation"]
print(r["ruleId"], os.path.basename(place["artifactLocation"]["uri"]), place["region"]["startLine"] > 0)')"
served again "sleep" --fail-on slow_callback,blocking_call --baseline known
check_equal "what was known does not fail" 0 "$status"
check "how much that was is said" grep -q '^loopwatch: excused by the baseline: 1$' again-server.err
served new "lock" --fail-on slow_callback,blocking_call --baseline known --report github
check_equal "what is new does" 3 "$status"
check "GitHub is told the line" grep -Eq '^::error file=.*catalog.cpp,line=[0-9]+,title=' new-server.out
served healthy "ok/lock ok/fsync" --fail-on blocking_call,slow_callback:lock,slow_callback:file_io --block-threshold 50ms
check_equal "a healthy server passes" 0 "$status"
ran early --fail-on slow_callback -- "$fixtures/first_callback" doze
check "that what came before a late first poll was not seen is said: $(records early "r[-1]['completeness_reason'], [x['text'] for x in of('warning')]")" \
    has_record early "[x['text'].endswith('is not seen without root') for x in of('warning')] == [True] and r[-1]['completeness'] == 'limited'"
ran early --fail-on slow_callback -- "$fixtures/first_callback"
check "of a program that polls soon there is nothing to say" has_record early "not of('warning') and r[-1]['completeness'] == 'complete'"
ran nothing --fail-on slow_callback -- sleep 0.1
check_equal "a gate that watched no loop does not pass" 4 "$status"
check "which is said" grep -q 'no event loop of sleep was ever watched' nothing.said
wrong_rules() { # PLACE WORDS TEXT
    printf '%b' "$3" >wrong
    refused "rules that are wrong at $1 are refused" 2 "^loopwatch: wrong:$1: $2" "$loopwatch" run --suppressions wrong -- true
}
wrong_rules 1:7 '"lok" is no kind' 'allow lok\n'
wrong_rules 2:3 'the rule has no condition' 'allow lock {\n  deny\n}'
wrong_rules 1:12 'this { is not closed' 'allow lock {\n deny call x\n'
wrong_rules 1:18 '"fast" is not a duration' 'allow lock up to fast'
wrong_rules 1:18 '"soon" is no date' 'allow lock until soon'
printf 'loopwatch-baseline 2\n' >other
refused "a baseline of another version is refused" 2 "another version" "$loopwatch" run --baseline other -- true
refused "one that is not there is" 2 "cannot read" "$loopwatch" run --baseline nowhere -- true
refused "a kind that is none is" 2 "is no kind" "$loopwatch" run --fail-on slow_callback:lok -- true

# Where a program burns its CPU is not known from inside: a burn in another function is not the one that was known.
cat >burns.c <<'C'
static void spin(int ms)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}
__attribute__((noinline)) static void burn(int ms) { spin(ms); }
__attribute__((noinline)) static void burn_second(int ms) { spin(ms + 1); }
static int second, sleeps;
static void callback(int round)
{
    if (round == 20) second ? burn_second(259) : burn(250);
    if (round == 30 && sleeps) usleep(150000);
}
int main(int count, char **words)
{
    second = count > 1 && *words[1] == 's';
    sleeps = count > 2;
    run_loop(40, callback);
    return 0;
}
C
compiled burns
ran burnt --write-baseline burnt.known -- ./burns first sleeps
check "a burn is in no baseline, which is said" grep -q '^loopwatch: burnt.known: 1 finding is left out, as the place' burnt.said
check "and with words that are true" has_record burnt "any('all of it on CPU, waiting for one, or in short calls (without root' in s['verdict'] and s['sources'][0]['args']['reason'] == 'on CPU, waiting for one, or in short calls' for s in of('slow_callback'))"
ran burnt_again --baseline burnt.known --fail-on slow_callback -- ./burns second sleeps
check_equal "a burn in another function fails, a known call does not" "3 1" "$status $(grep -c '^loopwatch: --fail-on: slow_callback: ' burnt_again.said)"
check "and what was known is counted" grep -q '^loopwatch: excused by the baseline: 1$' burnt_again.said
ran twice --fail-on slow_callback,stall,blocking_call -- ./burns first sleeps
check_equal "what fails is listed once an event" "3 2" "$status $(grep -c '^loopwatch: --fail-on: ' twice.said)"

# The kernel treats it as if it were another user's.
cp burns unreadable && chown "$nobody" unreadable 2>/dev/null
chmod 0111 unreadable
if is_root && [ ${#user[@]} = 0 ]; then
    skip_check "a program that cannot be read" "root reads it"
else
    status=0
    "${user[@]}" "$loopwatch" run --inside --format text -- ./unreadable >unreadable.said 2>&1 || status=$?
    check_equal "a program that cannot be read: it runs, why nothing is seen is said, and nothing that is not so" "0 1 0" \
        "$status $(grep -c 'the file of the program is not readable, so the kernel does not let us look into the process' unreadable.said) $(grep -cE 'another user|not loaded' unreadable.said || true)"
fi

if "${user[@]}" unshare --user --map-root-user --pid --fork true 2>/dev/null; then
    ran elsewhere --follow-children -- unshare --user --map-root-user --pid --fork sleep 0.1
    check_equal "a child in a PID namespace of its own is not watched, and a warning says so" 1 \
        "$(records elsewhere "sum('PID namespace of its own' in x['text'] and 'sudo loopwatch' in x['hint'] for x in of('warning'))")"
else
    skip_check "a child in a PID namespace of its own" "unshare: no user namespace"
fi

# It is asked to end twice, and goes on: so does it after the session, which says so.
printf 'import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint("deaf", flush=True)\ntime.sleep(60)\n' >deaf.py
start_background deaf "${user[@]}" "$loopwatch" run --inside --format ndjson -o deaf.ndjson -- /usr/bin/python3 deaf.py
deaf_session=$started
wait_output deaf 10 '^deaf' || fail "no program"
deaf_program=$(pgrep -P "$deaf_session" -x python3)
is_named() { grep -q "(pid $deaf_program) runs until it ends" deaf.err; }
for _ in 1 2; do
    kill -s TERM "$deaf_session"
    sleep 0.3  # two of one kind at once are one
done
check "a program that ignores the signals that end its session is named" wait_until 10 is_named
check "  and the session's status is that of the signal" ended_with "$deaf_session" 5
check_equal "  as of a shell" 143 "$ended_status"
kill -s KILL "$deaf_program"

# What a process ends in, nobody has seen end.
printf 'import select, time\nwait = select.epoll()\nfor i in range(5): wait.poll(0.01)\ntime.sleep(0.15)\n' >last.py
ran last -- /usr/bin/python3 last.py
check "the statistics have the iteration in which a program ends" has_record last \
    "of('stall') and all(s['duration_ns'] <= max(x['dispatch_ns']['max'] for x in of('loop_stats')) for s in of('stall')) and of('loop_stats')[-1]['open_ns'] >= 150e6 and r[-1]['dispatch_ns']['max'] >= 150e6"

gate_test=$build/bin/examples/gate_test
if [ -x "$gate_test" ]; then
    ran mended --block-threshold 5ms --fail-on blocking_call -- "$gate_test"
    check_equal "the example's cases pass when none blocks" 0 "$status"
    export ORDER_BUG=1
    ran seeded --block-threshold 5ms --fail-on blocking_call:sleep -- "$gate_test"
    check_equal "the seeded bug fails the run" 3 "$status"
    check "and the one case, by name" sh -c 'grep -q "^an order is saved" "$1" && ! grep -q "^an order is priced" "$1"' - seeded.said
    check "with the function that blocks" has_record seeded "any('save_order' in n for b in of('blocking_call') for n in names(b['stack']))"
    status=0
    "${user[@]}" env LOOPWATCH=warn LOOPWATCH_BLOCK_THRESHOLD=5ms LD_PRELOAD="$shim" "$gate_test" >alone.out 2>alone.err || status=$?
    check_equal "without a collector too" "1 1" "$status $(grep -c '^an order is saved' alone.out)"
    unset ORDER_BUG
else
    skip_check "the example's cases" "needs Catch2 (scripts/setup installs it)"
fi
