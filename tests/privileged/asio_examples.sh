#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Asio's own example servers, as they are but for the flag, on standalone Asio and on Boost.Asio: each serves as before while a session
# looks at every one of its handlers, and those are told by name. LOOPWATCH_FULL=1: all of
# them on both.
# Runs beside others, 40 s: it judges names; a slow machine makes no handler less slow than the threshold of 1 us.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command g++ curl python3
need_program "$loopwatch"
examples=/usr/share/doc/libasio-dev/examples
[ -f "$examples/cpp11/chat/chat_server.cpp" ] || skip "no $examples: libasio-doc is not installed, or without its documentation"
optimized=-O0  # in half the time
if [ "${LOOPWATCH_FULL:-}" = 1 ]; then optimized=-O1; fi
cd "$work"
mkdir site
echo "the page" >site/page.html

# NAME  LIBRARIES (-: only with LOOPWATCH_FULL=1)  SOURCES  STANDARD  LINKED  HOW IT IS ASKED  NAMES  ARGUMENTS
# Of the arguments % is its port (the coroutines' stands in their source); NAMES: what its handlers are called, as a report must have them.
while read -r row; do table+=("$row"); done <<'ROWS'
callbacks   asio   cpp11/echo/async_tcp_echo_server.cpp  17  -                                  echo  session::do_read()::<lambda()>|session::do_write()::<lambda()>  %
awaitables  asio   cpp17/coroutines_ts/echo_server.cpp   20  -                                  echo  async_receive@echo|async_send@echo
timers      asio   cpp11/timeouts/server.cpp             17  -                                  line  tcp_session::read_line()::<lambda()>|tcp_session::check_deadline()::<lambda()>  % 127.0.0.1 9
chat        boost  cpp17/coroutines_ts/chat_server.cpp   20  -                                  chat  async_receive|async_send|async_wait  %
stackful    boost  cpp11/spawn/echo_server.cpp           17  -lboost_coroutine,-lboost_context  echo  async_receive|async_send  %
stackless   boost  cpp03/http/server4                    17  -                                  http  http::server4::server  127.0.0.1 % site
strands     boost  cpp03/http/server3                    17  -                                  http  http::server3::connection  127.0.0.1 % 3 site
pool        -      cpp03/http/server2                    17  -                                  http  http::server2::connection  127.0.0.1 % 3 site
ROWS

free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# built NAME LIBRARY SOURCES STANDARD LINKED PORT: the program NAME-LIBRARY, from a copy that names that port and library.
built() {
    local dir=$1-$2 own flag=-DASIO_CUSTOM_HANDLER_TRACKING
    rm -rf "$dir.src"
    mkdir "$dir.src"
    cp "$examples/$3"/* "$dir.src" 2>/dev/null || cp "$examples/$3" "$dir.src"
    sed -i "s/55555/$6/" "$dir.src"/*
    own="-DASIO_STANDALONE -DASIO_HAS_BOOST_BIND"
    if [ "$2" = boost ]; then
        # Boost.Asio's examples are these, by other names.
        sed -i -E 's,include ([<"])asio,include \1boost/asio,; s/\basio::/boost::asio::/g; s/= asio;/= boost::asio;/; s/\bASIO_/BOOST_ASIO_/g
                   s/(std|boost::asio)::(error_code|system_error)/boost::system::\2/g; s/boost::asio::thread/boost::asio::detail::thread/g' "$dir.src"/*
        own=-DWITH_BOOST flag=-DBOOST_ASIO_CUSTOM_HANDLER_TRACKING
    fi
    local link=${5//,/ }
    [ "$link" != - ] || link=""
    # shellcheck disable=SC2086
    g++ "-std=c++$4" "$optimized" -g $own "$flag=<loopwatch/asio_tracking.hpp>" -I "$root/runtime_probes/include" "$dir.src"/*.cpp \
        -o "$dir" $link -lpthread >"$dir.log" 2>&1
}

# asked HOW PORT: five requests, one after the other, and their answers.
asked() {
    /usr/bin/python3 - "$@" <<'PY'
import socket, sys, urllib.request
how, port = sys.argv[1], int(sys.argv[2])
def connect():
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    s.settimeout(5)
    return s
def until(s, text):
    got = b""
    while text not in got:
        more = s.recv(4096)
        assert more, got
        got += more
    return got
if how == "http":
    for _ in range(5):
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/page.html", timeout=5).read() == b"the page\n"
else:
    one = connect()
    other = connect() if how == "chat" else one
    if how == "line": until(one, b"")
    for i in range(5):
        text = b"message %d" % i
        # A chat's messages end with a line, a subscriber of the other example sends lines that only keep it alive.
        one.sendall(text + (b"\n" if how in ("chat", "line") else b""))
        if how != "line": until(other, text)
print("served")
PY
}
listens_() { ss -Hltn "sport = :$1" | grep -q .; }

declare -A port_of
jobs_=()
for row in "${table[@]}"; do
    read -r name libraries rest <<<"$row"
    [ "$libraries" != - ] || libraries=""
    [ "${LOOPWATCH_FULL:-}" != 1 ] || libraries=asio,boost
    for library in ${libraries//,/ }; do
        port_of[$name-$library]=$(free_port)
        jobs_+=("$name $library $rest")
    done
done
# Two at a time: so many CPUs there are at least, and each needs up to 600 MB.
for ((i = 0; i < ${#jobs_[@]}; i += 2)); do
    for job in "${jobs_[@]:i:2}"; do
        read -r name library sources standard linked _ <<<"$job"
        built "$name" "$library" "$sources" "$standard" "$linked" "${port_of[$name-$library]}" &
    done
    wait
done

for job in "${jobs_[@]}"; do
    read -r name library _ _ _ how names arguments <<<"$job"
    one=$name-$library port=${port_of[$name-$library]}
    [ -x "$one" ] || { quote_ "$one.log"; fail "$one does not build"; }
    # shellcheck disable=SC2086
    start_background "$one" env LOOPWATCH_FLOOR=1us "./$one" ${arguments//%/$port}
    server=$started
    wait_until 10 listens_ "$port" || fail "$one does not listen"
    check_equal "$one: it serves" served "$(asked "$how" "$port")"
    watch "$one-s" "$server" --threshold 1us --block-threshold 1s
    check_equal "$one: and so it does while each handler is looked at" served "$(asked "$how" "$port")"
    end_session
    check_equal "$one: its handlers are told by name" "[]" "$(records "$one-s" "[n for n in '$names'.split('|') if not any(
        n == x['task']['name'] or n == x['task']['name'] + '@' + x['task']['created_at']['function'] and x['task']['created_at']['file'].startswith('$one.src/')
        for x in slow if x['task'])]")"
    check_equal "$one: nothing was lost" "{}" "$(records "$one-s" "{n: v for n, v in of('session_end')[0]['lost'].items() if v}")"
    check_equal "$one: it serves on" served "$(asked "$how" "$port")"
    stop "$server" TERM 10
done
