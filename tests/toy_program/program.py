"""A program whose time, output and faults follow from its arguments.

Its fastest configuration is zeta=3, alpha=2, with 1 ms.
"""

import os
import pathlib
import sys
import time

zeta, alpha, mode, build = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if mode == "crash":
    os.kill(os.getpid(), 11)
if mode == "hang":
    time.sleep(600)
if mode == "exit":
    sys.exit("error: no such mode")
if mode == "memory":
    held = bytearray(2**40)
if mode == "quiet":
    sys.exit()
with pathlib.Path("runs.txt").open("a") as runs:
    runs.write(f"{zeta} {alpha} {mode}\n")
print("sum", 41 if mode == "wrong" else 42)
print("seconds:", 0.001 * (1 + (zeta - 3) ** 2 + (alpha - 2) ** 2))
