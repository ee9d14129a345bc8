#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""asyncio_bench.py [--debug]: asyncio's empty post-and-resume loop, ns per resume, one line a round; --debug: in debug mode."""
import asyncio
import sys
import time

RESUMES, ROUNDS = 50_000, 5


async def main():
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        for _ in range(RESUMES):
            await asyncio.sleep(0)
        print((time.perf_counter_ns() - begin) / RESUMES)


asyncio.run(main(), debug="--debug" in sys.argv[1:])
