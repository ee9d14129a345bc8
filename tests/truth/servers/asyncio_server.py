# SPDX-License-Identifier: Apache-2.0
"""asyncio_server.py: a loop under a little load. Says "ready PID"; "go KIND COUNT MS" on stdin commits stalls and says of each what
tests/truth/judge.py reads, then "done"; "count" says how many timers have expired. Standard library only."""
import asyncio
import os
import subprocess
import sys
import threading
import time

expired = 0


def burn(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def wait_for_lock(seconds):
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(seconds, lock.release).start()
    lock.acquire()


KINDS = {
    "python_sleep": (time.sleep, "clock_nanosleep"),
    "python_burn": (burn, "PyEval"),
    "python_run": (lambda seconds: subprocess.run(["sleep", str(seconds)], capture_output=True, check=True), "poll"),
    "python_wait": (lambda seconds: subprocess.run(["sleep", str(seconds)], check=True), "wait4"),
    "python_lock": (wait_for_lock, "PyThread_acquire_lock_timed"),
}


async def tick():
    global expired
    while True:
        await asyncio.sleep(0.002)
        expired += 1


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ticks = [asyncio.create_task(tick()) for _ in range(4)]
    print("ready", os.getpid(), flush=True)
    while words := (await reader.readline()).decode().split():
        if words[0] == "quit":
            break
        if words[0] == "count":
            print("count", expired, flush=True)
            continue
        if words[0] == "go":
            await go(words[1], int(words[2]), int(words[3]) / 1000)
        print("done", flush=True)
    for task in ticks:
        task.cancel()


async def go(kind, count, seconds):
    block, function = KINDS[kind]
    for i in range(count):
        await asyncio.sleep(0.02)
        start = time.monotonic_ns()
        block(seconds)
        end = time.monotonic_ns()
        await asyncio.sleep(0.02)
        print(f"stall {kind} task={kind}-{i} {start} {end} function={function} loop=python3 tid={threading.get_native_id()}", flush=True)


asyncio.run(main())
