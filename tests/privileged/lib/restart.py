# SPDX-License-Identifier: Apache-2.0
"""restart.py COUNT SECONDS PROGRAM [ARGUMENT…]: COUNT copies of a program side by side, each of which is killed and started again every
second, one after the other, for so long. Then all are killed. Prints how many were started. Their stdin has no end.
"""
import itertools
import os
import subprocess
import sys
import time


def main():
    count, seconds, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    stdin, _open_end = os.pipe()
    start = lambda: subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(process):
        process.kill()
        process.wait()

    processes, started = [], 0
    began = time.monotonic()
    for turn in itertools.count():
        now = time.monotonic()
        if now >= began + seconds:
            break
        if turn < count:
            processes.append(start())
        else:
            end(processes[turn % count])
            processes[turn % count] = start()
        started += 1
        # A machine that is too slow restarts them less often.
        time.sleep(max(0, began + (turn + 1) / count - time.monotonic()))
    for process in processes:
        end(process)
    print(started)


main()
