#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The shim in programs that are not ours: each of their own tests ends as it does without. What differs between two runs without is
# known to be flaky, and left out. LOOPWATCH_FULL=1 runs all of CPython's modules named here, which takes minutes.
# Runs beside others, 42 s: it compares what programs do with and without the shim, not how long it takes.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_program "$loopwatch" "$build/lib/libloopwatch_preload.so"
need_command git curl make gcc
cd "$work"

# under NAME PROGRAM…: with the shim in it and in all that it starts; what it measured stands in NAME.out.
under() {
    local name=$1
    shift
    "$loopwatch" run --inside --follow-children --format ndjson -o "$name.out" -- "$@"
}
measured() { has_record "$1" "r[-1]['coverage'].get('calls_measured', 0) > 0"; }

# --- CPython's own tests ---
modules="test_asyncio.test_subprocess"
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then modules="test_socket test_subprocess test_asyncio test_threading"; fi
if /usr/bin/python3 -c 'import test.test_threading' 2>/dev/null; then
    # Each test's outcome by name, in a file: what tests print stands between the words of unittest's own report.
    cat >outcomes.py <<'PY'
import socket, sys, unittest
# A vsock that leads nowhere keeps test_socket waiting for ever, with the shim and without.
if hasattr(socket, "IOCTL_VM_SOCKETS_GET_LOCAL_CID"):
    del socket.IOCTL_VM_SOCKETS_GET_LOCAL_CID
class Outcomes(unittest.TextTestResult):
    pass
def told(word):
    def add(self, test, *_):
        print(test.id(), word, file=out)
    return add
for method, word in (("addSuccess", "ok"), ("addFailure", "FAIL"), ("addError", "ERROR"), ("addSkip", "skipped"),
                     ("addExpectedFailure", "expected failure"), ("addUnexpectedSuccess", "unexpected success")):
    setattr(Outcomes, method, told(word))
with open(sys.argv[2], "w", encoding="utf-8") as out:
    unittest.main(module=None, argv=["outcomes", sys.argv[1]], exit=False, testRunner=unittest.TextTestRunner(resultclass=Outcomes))
PY
    # outcomes FILE MODULE [COMMAND…]
    outcomes() {
        local file=$1 module=$2
        shift 2
        "$@" timeout 900 /usr/bin/python3 outcomes.py "test.$module" "$file" >"$file.log" 2>&1 || true
        sort -o "$file" "$file"
    }
    for module in $modules; do
        outcomes "$module.first" "$module"
        outcomes "$module.second" "$module"
        outcomes "$module.shim" "$module" under "$module"
        comm -3 "$module.first" "$module.second" | sed -E 's/^\t?//; s/ [a-zA-Z ]+$//' | sort -u >"$module.flaky"
        for run in first shim; do grep -vFf "$module.flaky" "$module.$run" >"$module.$run.steady" || true; done
        if [ ! -s "$module.flaky" ]; then cp "$module.first" "$module.first.steady" && cp "$module.shim" "$module.shim.steady"; fi
        check "$module: it has tests, and $(wc -l <"$module.flaky") flaky ones" [ "$(wc -l <"$module.first.steady")" -gt 10 ]
        check_equal "$module: each of the others ends the same" "$(cat "$module.first.steady")" "$(cat "$module.shim.steady")"
        check "$module: loops were seen, and their calls measured" measured "$module"
    done
else
    skip_check "CPython's tests" "needs libpython3.11-testsuite (scripts/setup installs it)"
fi

# --- git, curl, make ---
git -C "$root" rev-parse HEAD >/dev/null 2>&1 || skip_check "git" "the source tree is no repository"
if git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
    check "git clones" under git git clone -q --no-hardlinks "$root" clone
    check_equal "what is there" "$(git -C "$root" rev-parse HEAD)" "$(git -C clone rev-parse HEAD)"
    check "and finds it whole" under git git -C clone fsck --full --no-progress
fi
head -c 5000000 /dev/urandom >payload
start_background web /usr/bin/python3 -c '
import functools, http.server
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print("port", server.server_address[1], flush=True)
server.serve_forever()'
wait_output web 10 '^port' || fail "no web server"
url=http://127.0.0.1:$(sed -n 's/^port //p' web.out)
check "curl fetches" under curl curl -sf -o fetched "$url/payload"
check "what was sent" cmp payload fetched
check "four at once" under curl curl -sfZ --parallel-max 4 -o "part#1" "$url/payload?[1-8]"
check "each whole" sh -c 'for i in 1 2 3 4 5 6 7 8; do cmp payload "part$i" || exit 1; done'
mkdir build && cat >build/Makefile <<'MAKE'
objects = $(foreach i,1 2 3 4 5 6 7 8 9 10 11 12,part$(i).o)
whole: main.o $(objects)
	gcc -o $@ $^
main.o:
	(echo 'int main(void) { int sum = 0;'; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "int part$$i(void); sum += part$$i();"; done; echo 'return sum; }') >main.c && gcc -c main.c
part%.o:
	echo 'int part$*(void) { return $*; }' >part$*.c && gcc -c part$*.c
MAKE
check "make -j builds" under make make -s -j 4 -C build
check_status "what runs" 78 build/whole

# --- servers ---
if command -v redis-server >/dev/null; then
    port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    start_background redis "$loopwatch" run --inside --format ndjson -o redis-report.out -- redis-server --port "$port" --save '' --dir "$work"
    answers() { redis-cli -p "$port" ping | grep -q PONG; }
    wait_until 10 answers || fail "no redis"
    check "redis serves every test of redis-benchmark" sh -c 'timeout 120 redis-benchmark -p "$1" -n 2000 -q >bench.out 2>&1 && ! grep -qi error bench.out' - "$port"
    check "and what it was told" sh -c '[ "$(redis-cli -p "$1" set a 7)" = OK ] && [ "$(redis-cli -p "$1" incr a)" = 8 ]' - "$port"
    redis-cli -p "$port" shutdown nosave >/dev/null 2>&1 || true
    ended_with "$started" || fail "redis does not end"
    check_equal "and ends well" 0 "$ended_status"
    check "its calls were measured" measured redis-report
fi
if command -v node >/dev/null; then
    cat >guest.js <<'JS'
const { execFileSync, fork } = require('child_process');
const { Worker } = require('worker_threads');
if (process.argv[2] === 'child') { process.on('message', (m) => { process.send(m * 2); process.disconnect(); }); return; }
const child = fork(__filename, ['child']);
child.on('message', (m) => {
  const worker = new Worker('require("worker_threads").parentPort.postMessage(40)', { eval: true });
  worker.on('message', (w) => console.log(m + w, execFileSync('echo', ['said']).toString().trim()));
});
child.send(1);
JS
    check_equal "node's children and workers do what they do" "$(node guest.js)" "$(under node node guest.js 2>/dev/null)"
fi
