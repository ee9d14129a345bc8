# SPDX-License-Identifier: Apache-2.0
"""client.py KIND COUNT MS PORT TID LOOP: has a server commit stalls, by its own protocol on loopback, and says of each what
tests/truth/judge.py reads. Standard library only."""
import socket
import sys
import time

HOLD = "local t=redis.call('TIME') local e=t[1]*1000000+t[2]+{us} repeat t=redis.call('TIME') until t[1]*1000000+t[2]>=e return 1"


def redis(*words):
    parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
    return b"*%d\r\n" % len(words) + parts


# What to send, what the answer ends with, a function of the stack.
REQUESTS = {
    "redis_sleep": lambda ms: (redis("DEBUG", "SLEEP", str(ms / 1000)), b"+OK\r\n", "debugCommand"),
    "redis_script": lambda ms: (redis("EVAL", HOLD.format(us=ms * 1000), "0"), b":1\r\n", "evalGenericCommand"),
    "nginx_open": lambda ms: (b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", b"hello\n", "ngx_"),
    "memcached_send": lambda ms: (b"version\r\n", b"\r\n", "sendmsg"),
}


def main():
    kind, count, ms, port, tid, loop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6]
    request, ending, function = REQUESTS[kind](ms)
    with socket.create_connection(("127.0.0.1", port)) as server:
        for i in range(count):
            time.sleep(0.05)
            start = time.monotonic_ns()
            server.sendall(request)
            answer = b""
            while not answer.endswith(ending):
                answer += server.recv(4096) or sys.exit("no answer")
            end = time.monotonic_ns()
            print(f"stall {kind} task={kind}-{i} {start} {end} function={function} loop={loop} tid={tid}", flush=True)


main()
