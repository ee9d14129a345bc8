#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The LD_PRELOAD shim: its exports are the table, it needs nothing but libc, each row reports what it should, and a program cannot
# tell whether it is there.
# Runs alone: it judges how long calls lasted.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command readelf nm cpp
shim=$build/lib/libloopwatch_preload.so
programs=$build/bin/tests/preload
need_program "$build/bin/loopwatch" "$shim" "$programs/rows" "$programs/guest" "$programs/early"
under_shim() { LD_PRELOAD=$shim "$@"; }

# table COLUMN…: the rows of the table, one a line, by the names of its columns.
table() {
    printf '#define LW_CALL(kind, call, returns, symbol, parameters, arguments, version, ...) @%s\n#include "intercepts.def"\n' "$*" |
        cpp -P -I "$root/preload" - | sed -n 's/^@//p'
}
# noted: the rows that are not measured.
noted() { printf '#define LW_CALL(...)\n#define LW_NOTE(kind, call, returns, symbol, ...) @symbol\n#include "intercepts.def"\n' | cpp -P -I "$root/preload" - | sed -n 's/^@//p'; }
exported() { nm -D --defined-only "$1" | awk '$2 ~ /[TWi]/ { print $3 }'; }

# Programs that say one sentence a line, `ok` or `FAIL` before it.
take_sentences() {
    local name=$1 status=0 verdict sentence
    shift
    timeout 120 env LD_PRELOAD="$shim" "$@" >"$work/sentences" 2>"$work/sentences.err" || status=$?
    while read -r verdict sentence; do check "$sentence" [ "$verdict" = ok ]; done <"$work/sentences"
    check_equal "$name comes to its end" 0 "$status"
    quote_ "$work/sentences.err"
}

# --- the file ---
libc=$(ldd "$shim" | awk '$1 == "libc.so.6" { print $3 }')
check_equal "the exports are the table's rows" \
    "$( (table symbol && noted && printf "loopwatch_shim_%s\n" register listener findings) | sort)" "$(exported "$shim" | sed 's/@.*//' | sort)"
uring=$(ldd "$programs/rows" | awk '/liburing/ { print $3 }')
check_equal "every row exists in this libc, or in liburing" "" \
    "$(comm -23 <(table symbol | sort) <( (exported "$libc" && exported "$uring") | sed 's/@.*//' | sort -u))"
check_equal "rows of one version only are exported under that version" \
    "$(table symbol@@version | tr -d ' ' | awk -F@@ '$2 != "ANY" { gsub("_", ".", $2); sub("GLIBC.", "GLIBC_", $2); print $1 "@@" $2 }' | sort)" \
    "$(exported "$shim" | grep '@' | sort)"
# A name that stands for different code in different versions must not answer every version.
incompatible=$(nm -D --defined-only "$libc" | awk '$2 ~ /[TWi]/ { sub(/@.*/, "", $3); print $3, $1 }' | sort -u | awk '{ print $1 }' | uniq -d)
check_equal "rows of any version are one function in this libc" "" \
    "$(comm -12 <(table symbol version | sed -n 's/ ANY$//p' | sort) <(printf '%s\n' "$incompatible"))"
check_equal "it needs nothing but libc" "libc.so.6" "$(readelf -d "$shim" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')"
uncovered() { printf '#define LW_UNCOVERED(symbol, why) @symbol\n#include "uncovered.def"\n' | cpp -P -I "$root/preload" - | sed -n 's/^@//p' | sort; }
check_equal "what has no row exists in this libc" "" "$(comm -23 <(uncovered) <(nm -D --defined-only "$libc" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u))"
check_equal "and has none" "" "$(comm -12 <(uncovered) <(table symbol | sort))"
check_equal "INTERCEPTS.md is what preload/intercepts_md.py makes" "$("$root/preload/intercepts_md.py")" "$(cat "$root/preload/INTERCEPTS.md")"
# What the shim calls a call, the analysis knows, and by the same kind.
check_equal "each row's name and kind are the analysis' own" "" "$(table call kind | sort -u | /usr/bin/python3 -c '
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
rules = dict(re.findall(r"LW_SYSCALL\(\s*\d+, (\w+),\s*(\w+),", text)) | dict(re.findall(r"LW_LIBC\((\w+),\s*(\w+),", text))
same = {"file_io": {"file", "descriptor"}, "nested_wait": {"wait"}, "pipe": {"pipe", "descriptor"}, "other": {"other", "descriptor"}}
for line in sys.stdin:
    call, kind = line.split()
    if rules.get(call) not in same.get(kind, {kind}):
        print(call, kind, rules.get(call))' "$root/userspace/src/analysis/calls.def")"
# No allocation, no lock, no stdio: there is nothing to call.
# dlopen finds what is loaded already: once for each place in a plugin that calls into a library of its own.
allowed='dladdr|dlopen|dlclose|__cxa_finalize|__errno_location|__register_atfork|clock_gettime|dlerror|dlsym|dlvsym|getauxval|getenv|mem(cpy|move|set)|str(chr|cmp|cpy|len)|_ITM_.*|__gmon_start__'
check_equal "it calls nothing that allocates, locks or prints" "" "$(nm -D --undefined-only "$shim" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -Evx "$allowed" || true)"

# --- what it says, what it leaves alone ---
take_sentences "each row" "$programs/rows"
take_sentences "the guest" "$programs/guest"
take_sentences "early calls" "$programs/early"
# The same with a ring, into which all of it is told.
for program in guest early; do
    take_sentences "with a ring, the $program" "$build/bin/loopwatch" run --inside --quiet -o "$work/ring.out" -- "$programs/$program"
done

# --- programs that are not ours ---
# same SENTENCE COMMAND…: output and exit status with and without the shim.
same() {
    local sentence=$1 without with status
    shift
    status=0; without=$("$@" 2>&1 </dev/null) || status=$?
    without+=" status $status"
    status=0; with=$(under_shim "$@" 2>&1 </dev/null) || status=$?
    check_equal "$sentence" "$without" "$with status $status"
}
same "git behaves the same" git -C "$root" log --oneline -3
same "a failing shell pipeline behaves the same" bash -c 'ls / | sort | head -3; cat /nonexistent; exit 3'
if python=$(command -v /usr/bin/python3 || command -v python3); then
    same "python's subprocesses, sockets and threads behave the same" "$python" -c '
import socket, subprocess, threading, time
a, b = socket.socketpair(); threading.Thread(target=lambda: (time.sleep(0.01), b.sendall(b"hi"))).start()
print(a.recv(2), subprocess.run(["false"]).returncode, subprocess.check_output("echo x; exit 0", shell=True))
try: socket.create_connection(("127.0.0.1", 1))
except OSError as e: print(e)'
else skip_check "python behaves the same" "no python3"; fi

if [ -n "${python:-}" ] && command -v curl >/dev/null; then
    mkdir "$work/site" && head -c 300000 /dev/zero >"$work/site/zeros"
    start_background web env LD_PRELOAD="$shim" "$python" -u -m http.server --bind 127.0.0.1 --directory "$work/site" 0
    wait_output web 10 'port [0-9]+' || fail "the web server did not start"
    port=$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$work/web.out" | head -1)
    fetch() { under_shim curl -sf -o "$work/got" "http://127.0.0.1:$port/zeros" && cmp "$work/got" "$work/site/zeros"; }
    check "curl fetches from a server, both under the shim" fetch
else skip_check "curl fetches from a server" "no curl or no python3"; fi

# --- a plugin's own libraries ---
# The program knows nothing of liburing; a plugin does, by way of a library of its own. RTLD_LOCAL: RTLD_NEXT does not see it.
cat >"$work/middle.c" <<'C'
#include <errno.h>
#include <liburing.h>
int io_uring_submit_and_wait(struct io_uring *ring, unsigned n);
int timer_expires(void)
{
    struct io_uring ring;
    struct io_uring_cqe *done = NULL;
    struct __kernel_timespec after = {0, 20000000};
    int result = -1;
    if (io_uring_queue_init(4, &ring, 0) != 0) return -1;
    io_uring_prep_timeout(io_uring_get_sqe(&ring), &after, 0, 0);
    if (io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_wait_cqe(&ring, &done) == 0) result = -done->res;
    io_uring_queue_exit(&ring);
    return result;
}
C
cat >"$work/plugin.c" <<'C'
int timer_expires(void);
int use(void) { return timer_expires(); }
C
cat >"$work/host.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    for (int i = 0; i < 5; i++) {
        void *plugin = dlopen("./plugin.so", RTLD_NOW | RTLD_LOCAL);
        int (*use)(void) = plugin ? (int (*)(void))dlsym(plugin, "use") : NULL;
        if (use == NULL) return puts(dlerror());
        for (int k = 0; k < 3; k++) printf("%d ", use());
        if (argc > 1) dlclose(plugin);
    }
    int (*absent)(void *, unsigned) = (int (*)(void *, unsigned))dlsym(RTLD_DEFAULT, "io_uring_submit_and_wait");
    return absent ? -absent(0, 0) : 0;
}
C
if ! command -v gcc >/dev/null || [ ! -e /usr/include/liburing.h ]; then skip_check "a plugin's own io_uring" "needs gcc and liburing"
else
    cd "$work"
    gcc -shared -fPIC -O1 -o libmiddle.so middle.c -luring && gcc -shared -fPIC -o plugin.so plugin.c -L. -lmiddle '-Wl,-rpath,$ORIGIN' && gcc -o host host.c
    for way in stays "is unloaded"; do
        # shellcheck disable=SC2086
        check_equal "a plugin's io_uring works the same, which $way" "$(./host ${way#stays})" "$(under_shim ./host ${way#stays} || true)"
        check_equal "and it works, though it $way" 15 "$(under_shim ./host ${way#stays} | grep -o '62 ' | wc -l || true)"
    done
    check_status "without liburing its functions fail as they do, with ENOSYS" 38 under_shim ./host
    check_status "with a ring its waits are those of a loop" 38 "$build/bin/loopwatch" run --inside --format ndjson -o plugin.out -- ./host
    check_equal "which is known as one, and not held" "1 0" \
        "$(/usr/bin/python3 -c 'import json; r = [json.loads(l) for l in open("plugin.out")]; print(len({x["loop"]["id"] for x in r if x["type"] == "loop_stats"}), len([x for x in r if x["type"] == "slow_callback"]))')"
fi

# --- a tracer from outside ---
reports='usdt:*:loopwatch:blocking_call { printf("@%s %d\n", str(arg0), arg2 - arg1); }'
if ! is_root; then skip_check "bpftrace sees each call live" "needs root"
elif ! command -v bpftrace >/dev/null; then skip_check "bpftrace sees each call live" "no bpftrace"
else
    start_background rows env LD_PRELOAD="$shim" "$programs/rows" live
    timeout 60 bpftrace -p "$started" -e "${reports/\*/$shim}" >"$work/live" 2>"$work/live.err" || quote_ "$work/live.err"
    check_equal "bpftrace sees each call live" "$(table call | sort -u)" "$(sed -n 's/^@\([a-z0-9_]*\) .*/\1/p' "$work/live" | sort -u)"
    check "with its duration" awk '$1 == "@recvmsg" && $2 >= 2000000 && $2 < 2000000000 { n++ } END { exit n < 1 }' "$work/live"
fi
