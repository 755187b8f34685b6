"""A program with a pool whose workers are busy; the tests kill or interrupt it.

Arguments: `hang` or `fork`. It prints the process ids of its nursery and workers, and what
became of an interruption.
"""

from __future__ import annotations

import os
import sys
import time

from toy_handler import TOY, Echo, Hang, Toy

from chameleon_tuner.measure.local.pool import Script, WorkerPool, ask
from chameleon_tuner.measure.local.worker import Worker


def hanging(worker: Worker[Toy]) -> Script[Toy, None]:
    yield from ask(Hang(), 60.0)


def main() -> None:
    with WorkerPool(TOY, 2, {}) as pool:
        pool.replenish()
        if sys.argv[1] == "fork" and os.fork() == 0:
            time.sleep(4)  # holds copies of all connections
            os._exit(0)
        print(pool.nursery_pid, *(worker.pid for worker in pool.workers), flush=True)
        try:
            pool.drive([hanging, hanging])
        except KeyboardInterrupt:
            answers = [pool.call(w, Echo("on"), 20.0) for w in fresh(pool)]
            print("interrupted, goes", *answers, flush=True)


def fresh(pool: WorkerPool[Toy]) -> list[Worker[Toy]]:
    pool.replenish()
    return pool.workers


main()
