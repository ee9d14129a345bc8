# SPDX-License-Identifier: Apache-2.0
"""thread_churn.py: says "ready PID"; then, told "go", runs 300 event loops in as many short-lived threads and one at the end that sleeps for
150 ms in a callback; "done". Standard library only."""
import asyncio
import os
import sys
import threading
import time


async def brief():
    for _ in range(8):
        await asyncio.sleep(0.004)


async def last():
    for _ in range(30):
        await asyncio.sleep(0.01)
    time.sleep(0.15)
    await asyncio.sleep(0.1)


def in_a_thread(coroutine):
    thread = threading.Thread(target=lambda: asyncio.run(coroutine()))
    thread.start()
    return thread


print("ready", os.getpid(), flush=True)
sys.stdin.readline()
for _ in range(60):
    for thread in [in_a_thread(brief) for _ in range(5)]:
        thread.join()
in_a_thread(last).join()
print("done", flush=True)
sys.stdin.readline()
