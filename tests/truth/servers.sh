#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Servers as Debian ships them, without a rebuild: redis, memcached, nginx, asyncio and node. Each is healthy under load without a
# finding; each stall it is made to commit is found and told right, once.
# Runs alone: it judges durations, and that healthy programs are not reported.
# Known to be flaky: node_exec-1 was reported once as 201 ms where the program says 184 (the first execSync of a node process), node_atomics
# once as 163 ms instead of 152 (1 of 13 runs each). The cause is not known.
# node_atomics once lost `sites_overflow: 1`, all five stalls found: a thread of V8's waited in a 17th place.
. "$(dirname "$0")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch"

judge() { /usr/bin/python3 "$root/tests/truth/judge.py" "$@"; }
client() { /usr/bin/python3 "$root/tests/truth/servers/client.py" "$@"; }

rows=$work/rows
: >"$rows"
count=5 # a prime: no divisor of it could hide
ms=150 healthy_seconds=3
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then count=23 healthy_seconds=60; fi

free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

judge_server() { # NAME KIND
    check "$1: $count stalls, $count right findings, no other" judge case "$2" --tier 0 --name "$1" --count "$count" \
        --truth "$work/$1.truth" --report "$work/$1-report.out" --rows "$rows"
}

# told NAME KIND COUNT MS: a server that is told on stdin.
told() {
    watch "$1-$2-report" "$target"
    ask "$1" "go $2 $count $ms" '^done' 60 || fail "$1: not done"
    end_session
    grep "^stall $2 " "$work/$1.out" >"$work/$1-$2.truth"
    judge_server "$1-$2" "$2"
}

# asked NAME KIND PORT TID LOOP: a server that a client asks.
asked() {
    watch "$1-report" "$target"
    client "$2" "$count" "$ms" "$3" "$4" "$5" >"$work/$1.truth"
    # The client has its answer before the server's iteration ends; what was not found by then, the judge says.
    wait_until 5 has_lines_ "$1-report" '"type":"slow_callback"' "$count" || true
    end_session
    judge_server "$1" "$2"
}

# healthy NAME COMMAND…: while the command runs, not one finding.
healthy() {
    local name=$1
    shift
    watch "$name" "$target"
    "$@" >/dev/null 2>&1 || fail "$name: the load failed"
    end_session
    check_silent "$name: no finding under load" "$name"
    check "$name: the session saw its loop" has_record "$name" 'r[-1]["dispatches"] > 50'
}

if command -v redis-server >/dev/null; then
    port=$(free_port)
    start_background redis redis-server --port "$port" --save '' --appendonly no --enable-debug-command yes
    target=$started
    wait_until 10 answers "$port" || fail "redis does not start"
    redis_load() { timeout "$healthy_seconds" redis-benchmark -p "$port" -t get,set -c 50 -n 100000000 -q || [ $? -eq 124 ]; }
    healthy redis-load redis_load
    asked redis redis_sleep "$port" "$target" redis-server
    asked redis-script redis_script "$port" "$target" redis-server
    stop "$target"
else
    skip_check redis "needs redis-server (scripts/setup installs it)"
fi

if command -v memcached >/dev/null && command -v strace >/dev/null; then
    port=$(free_port)
    start_background memcached memcached -u nobody -l 127.0.0.1 -p "$port" -t 1 -U 0
    target=$started
    wait_until 10 answers "$port" || fail "memcached does not start"
    worker=$(ps -T -o tid=,comm= -p "$target" | awk '/mc-worker|memcached/ { print $1 }' | sed -n 2p)
    start_background memcached-strace strace -qq -f -p "$target" -e trace=sendmsg -e "inject=sendmsg:delay_enter=${ms}ms"
    injector=$started
    sleep 0.5
    asked memcached memcached_send "$port" "$worker" mc-worker
    stop "$injector"
    stop "$target"
else
    skip_check memcached "needs memcached and strace (scripts/setup installs them)"
fi

if command -v nginx >/dev/null && command -v strace >/dev/null; then
    port=$(free_port)
    mkdir -p "$work/nginx/html"
    echo hello >"$work/nginx/html/page"
    chmod -R a+rX "$work" "$work/nginx"
    cat >"$work/nginx/nginx.conf" <<EOF
worker_processes 1;
daemon off;
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $work/nginx/body; proxy_temp_path $work/nginx/proxy; fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi; scgi_temp_path $work/nginx/scgi;
    server { listen 127.0.0.1:$port; root $work/nginx/html; }
}
EOF
    start_background nginx nginx -p "$work/nginx" -c "$work/nginx/nginx.conf"
    master=$started
    wait_until 10 answers "$port" || fail "nginx does not start"
    target=$(pgrep -P "$master" | head -n 1)
    if command -v wrk >/dev/null; then
        healthy nginx-load wrk -t 1 -c 20 -d "${healthy_seconds}s" "http://127.0.0.1:$port/page"
    fi
    start_background nginx-strace strace -qq -p "$target" -e trace=openat -e "inject=openat:delay_enter=${ms}ms"
    injector=$started
    sleep 0.5
    asked nginx nginx_open "$port" "$target" nginx
    stop "$injector"
    stop "$master"
else
    skip_check nginx "needs nginx and strace (scripts/setup installs them)"
fi

start_fixture asyncio /usr/bin/python3 "$root/tests/truth/servers/asyncio_server.py"
healthy asyncio-load sleep "$healthy_seconds"
for kind in python_sleep python_burn python_run python_wait python_lock; do told asyncio "$kind"; done
hints() { records "$1" "[w for x in of('target_start', 'warning') for w in x.get('warnings', [x.get('text')]) if 'have no names' in w]"; }
check "asyncio: why its Python functions have no names" grep -q 'Python functions have no names' <(hints asyncio-python_sleep-report)
check "asyncio: doctor says it too" grep -q 'Python functions have no names' <("$loopwatch" doctor -p "$target")
tell asyncio quit

if command -v node >/dev/null; then
    # In a folder of its own: V8 leaves a log where it runs.
    start_fixture node env --chdir="$work" node --no-logfile-per-isolate --logfile="$work/v8.log" --perf-basic-prof --interpreted-frames-native-stack "$root/tests/truth/servers/node_server.js"
    healthy node-load sleep "$healthy_seconds"
    for kind in node_burn node_exec node_atomics; do told node "$kind"; done
    check_equal "node: with a perf map there is nothing to say" '[]' "$(hints node-node_burn-report)"
    tell node quit
    rm -f "/tmp/perf-$target.map"
else
    skip_check node "needs node (Debian: nodejs)"
fi

judge table "$rows" "$build/truth-servers.json"
