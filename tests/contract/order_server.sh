#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The example server is a real one: every endpoint answers, what is no HTTP is refused, connections live on, signals end it well.
# Runs alone: it judges how long a request waits for another.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command curl jq python3
server=$build/bin/order_server
need_program "$server"

start_background server "$server" --loops 2
pid=$started
wait_output server 10 '^listening on 127\.0\.0\.1:[0-9]+$' || fail "no handshake"
check_equal "stdout is the one line" 1 "$(wc -l <"$work/server.out")"
port=$(sed 's/.*://' "$work/server.out")
url=http://127.0.0.1:$port

# get PATH [CURL OPTION…]: the body in $work/body, prints the status.
get() { curl -s -m 10 -o "$work/body" -w '%{http_code}' "${@:2}" "$url$1"; }
# exchange BYTES: sends them over one connection (backslashes as printf has them), prints the status lines that come back until
# the server closes or is silent for half a second.
exchange() {
    python3 - "$port" "$1" <<'PYTHON'
import re, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=0.5) as connection:
    connection.sendall(sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"))
    data, end = b"", "open"
    try:
        while chunk := connection.recv(65536):
            data += chunk
        end = "closed"
    except TimeoutError:
        pass
print(" ".join(status.decode() for status in re.findall(rb"HTTP/1\.1 (\d+) ", data)), end)
PYTHON
}
answers() { # answers PATH JQ: 200, and the body is as the filter says
    [ "$(get "$1")" = 200 ] && jq -e "$2" "$work/body"
}
request='GET / HTTP/1.1\r\nHost: x\r\n\r\n'

# --- what it answers ---
check "/ says what it is" answers / '.shop and .orders_taken == 0'
check "/order shows an order" answers /order '.article == "bolt-m8" and .quantity == 3'
for kind in "" /ok; do
    check "$kind/fsync saves orders" answers "$kind/fsync" '.saved >= 100'
    check "$kind/lock quotes a price" answers "$kind/lock" '.price_cents > 0'
    check "$kind/cpu imports orders" answers "$kind/cpu" '.imported == 80000 and .first_customer == "customer-0"'
    check "$kind/dns finds the supplier" answers "$kind/dns" '.supplier == "192.0.2.10"'
    check "$kind/sleep waits for the courier" answers "$kind/sleep" '.courier == "gone"'
    check "$kind/log logs more than a pipe holds" answers "$kind/log" '.logged_bytes > 65536'
done
check_equal "POST /order takes one" 201 "$(get /order -d '{"article": "nut-m8", "quantity": 2}')"
check "and gives a receipt" jq -e '.id == 1 and .article == "nut-m8" and .quantity == 2' "$work/body"
for body in '{' '[]' '{"article": 1, "quantity": 2}' '{"article": "nut-m8"}' '{"article": "nut-m8", "quantity": -1}'; do
    check_equal "an order like $body is a 400" 400 "$(get /order -d "$body")"
done
check_equal "an unknown path is a 404" 404 "$(get /nothing)"
check_equal "an unknown method is a 405" 405 "$(get /order -X PUT)"
check "which says what is allowed" grep -qi '^allow: GET, HEAD, POST' <(curl -s -i -X PUT "$url/order")
check_equal "a HEAD is told how long the body would be" "Content-Length: $(curl -s "$url/" | wc -c)" "$(curl -sI "$url/" | tr -d '\r' | grep Length)"
check_equal "and gets none" "200 200 open" "$(exchange "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n$request")"

# --- a blocking endpoint holds its loop, its correct twin does not ---
# One loop, so that the second request meets the first.
start_background alone "$server"
alone=$started
wait_output alone 10 '^listening' || fail "no handshake"
for endpoint in fsync lock cpu dns sleep log; do
    for prefix in "" ok/; do
        python3 - "$(sed 's/.*://' "$work/alone.out")" "/$prefix$endpoint" >"$work/held" <<'PYTHON'
import socket, sys, threading, time
port, path = int(sys.argv[1]), sys.argv[2]
def get(path):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while connection.recv(65536):
            pass
get("/order")
slow = threading.Thread(target=get, args=[path])
longest, before = 0, time.monotonic()
slow.start()
while slow.is_alive():
    # From the asking before: whoever was answered then, was so before the slow one began, however late
    # this thread has had its CPU to ask again.
    began = time.monotonic()
    get("/order")
    longest = max(longest, time.monotonic() - before)
    before = began
if path.endswith("/log"):
    time.sleep(0.4)  # the log shipper empties its pipe
print(round(longest * 1000))
PYTHON
        held_ms=$(cat "$work/held")
        if [ -z "$prefix" ]; then
            check "/$endpoint holds the loop for 100 ms (seen: $held_ms ms)" [ "$held_ms" -ge 95 ]
        else
            check "/$prefix$endpoint lets the others pass (seen: $held_ms ms)" [ "$held_ms" -lt 60 ]
        fi
    done
done
stop "$alone"

# --- HTTP ---
check_equal "a connection lives on" "200 open" "$(exchange "$request")"
check_equal "unless told otherwise" "200 closed" "$(exchange 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')"
check_equal "HTTP/1.0 is closed" "200 closed" "$(exchange 'GET / HTTP/1.0\r\n\r\n')"
check_equal "unless told otherwise" "200 open" "$(exchange 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')"
check_equal "pipelined requests are answered in order" "200 404 405 200 open" \
    "$(exchange "${request}GET /no HTTP/1.1\r\nHost: x\r\n\r\nDELETE / HTTP/1.1\r\nHost: x\r\n\r\n$request")"
order='{\x22article\x22:\x22a\x22,\x22quantity\x22:1}'
post='POST /order HTTP/1.1\r\nHost: x\r\n'
check_equal "a body ends where Content-Length says" "201 200 open" "$(exchange "${post}Content-Length: 28\r\n\r\n$order$request")"
check_equal "or with its last chunk" "201 200 open" \
    "$(exchange "${post}Transfer-Encoding: chunked\r\n\r\n1c\r\n$order\r\n0\r\n\r\n$request")"
for bytes in 'nonsense\r\n\r\n' '\x16\x03\x01\x02\x00\x01' 'GET / HTTP/1.1\r\n\r\n' 'GET / HTTP/x.1\r\nHost: x\r\n\r\n' \
    'GET / HTTP/1.1\r\nHost: x\r\nBad@Name: 1\r\n\r\n' 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n' \
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n'; do
    check_equal "a 400 for $bytes" 400 "$(exchange "$bytes" | cut -d' ' -f1)"
done
check_equal "what follows a bad request is not read" "400 closed" "$(exchange "nonsense\r\n\r\n$request")"
check_equal "HTTP/2 is a 505" 505 "$(exchange 'GET / HTTP/2.0\r\nHost: x\r\n\r\n' | cut -d' ' -f1)"
check_equal "a body too large is a 413" 413 "$(get /order -d @<(head -c 70000 /dev/zero | tr '\0' x))"
check_equal "also in chunks" 413 "$(get /order -H 'Transfer-Encoding: chunked' -d @<(head -c 70000 /dev/zero | tr '\0' x))"
check_equal "a header too large is a 431" 431 "$(get / -H "X: $(head -c 9000 /dev/zero | tr '\0' x)")"
check_equal "and so is an endless path" 431 "$(get "/$(head -c 9000 /dev/zero | tr '\0' x)")"
check_equal "after all that it still answers" 200 "$(get /)"

# --- its end ---
curl -s -o "$work/late" "$url/ok/sleep" &
late=$!
sleep_in_progress() { grep -q . <(ss -Htn state established "( dport = :$port )"); }
wait_until 5 sleep_in_progress || fail "no request under way"
log_file=$(readlink "/proc/$pid/fd/"* | grep '/orders\.log$')
check "the order log lies in a directory of its own" test -d "$(dirname "$log_file")"
stop "$pid"
check_equal "SIGTERM ends it with 0" 0 "$stopped_status"
check "after the request under way" wait "$late"
check "which has its answer" jq -e '.courier == "gone"' "$work/late"
check_equal "without a word" "" "$(cat "$work/server.err")"
check_not "the directory is gone" test -e "$(dirname "$log_file")"
start_background silent "$server"
wait_output silent 10 '^listening' || fail "no handshake"
exec {idle}<>"/dev/tcp/127.0.0.1/$(sed 's/.*://' "$work/silent.out")"
# Sooner than the two seconds after which connections are cut off.
stop "$started" INT 1.5
exec {idle}>&-
check_equal "SIGINT does too, with an idle connection open" 0 "$stopped_status"

# --- bad options: one line, status 2 ---
for options in '--port abc' '--port 70000' '--port -1' '--loops 0' '--loops 65' '--colour' 'now'; do
    # shellcheck disable=SC2086
    check_status "$options: status 2" 2 "$server" $options
    check_equal "$options: one line on stderr, none on stdout" "1 0" "$(wc -l <"$work/stderr") $(wc -l <"$work/stdout")"
    check "$options: which names it" grep -qe "^order_server: .*${options%% *}" "$work/stderr"
done
check_status "--data without the right: status 1" 1 "$server" --data /proc/nowhere
check_status "--help: status 0" 0 "$server" --help
