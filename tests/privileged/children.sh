#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# --follow-children: a server's workers are watched with it, those that live and those that it forks later; without, they are not.
# Runs alone: a child that waits for a CPU is slow too.
. "$(dirname "$0")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch"
need_command nginx strace

port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
page() { curl -sS -o /dev/null "http://127.0.0.1:$port/page"; }
workers() { pgrep -P "$master" | sort -n; }  # ps pads what is shorter than the longest pid there may be

mkdir -p "$work/html"
echo hello >"$work/html/page"
chmod -R a+rX "$work"
cat >"$work/nginx.conf" <<EOF
worker_processes 2;
daemon off;
pid $work/pid;
error_log $work/error.log;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    server { listen 127.0.0.1:$port; root $work/html; }
}
EOF
start_background nginx nginx -p "$work" -c "$work/nginx.conf"
master=$started
wait_until 10 answers || fail "nginx does not start"

watch alone "$master"
check_equal "without --follow-children the master alone is a target" 1 "$(records alone 'len(of("target_start"))')"
end_session

watch family "$master" --follow-children
check_equal "the master and its workers are targets" "$(echo "$master"; workers)" \
    "$(records family '"\n".join(str(x["pid"]) for x in of("target_start"))')"
check "the workers' loops are known at once" has_record family 'sum(len(x["loops"]) for x in of("target_start")) == 2'

old=$(workers)
kill -s HUP "$master"
has_new_workers() { [ "$(workers | wc -l)" -eq 2 ] && [ "$(workers)" != "$old" ]; }
wait_until 10 has_new_workers || fail "nginx does not reload"
check "workers that are forked later become targets" wait_until 10 has_record family \
    "{$(workers | paste -sd,)} <= {x['pid'] for x in of('target_start')}"
check "those that end are told of" wait_until 10 has_record family \
    "{$(echo "$old" | paste -sd,)} == {x['pid'] for x in of('target_end') if x['reason'] == 'exited'}"

for worker in $(workers); do start_background "strace-$worker" strace -qq -p "$worker" -e trace=openat -e inject=openat:delay_enter=150ms; done
sleep 0.5
page || fail "nginx does not answer"
check "what blocks a new worker is found" wait_until 10 has_record family \
    "any(x['pid'] in {$(workers | paste -sd,)} for x in of('slow_callback'))"
end_session
check_equal "the session ends with 0" 0 "$stopped_status"
