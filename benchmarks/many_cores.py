"""What a search does on a machine of many cores, on one of few: workers that sleep.

    python benchmarks/many_cores.py resnet18.onnx 16 200 [SECS]

Real tasks, models and explorers; building and running a candidate takes about as long as it does,
but no core. Prints the seconds of so many trials, with batches that are all proposed before any is
built, and with batches that are proposed while others are built, twice each. SECS is the time
budget that the scheduler plans for, 50 unless given; `inf` for none.
"""

from __future__ import annotations

import itertools
import sys
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.loop import search
from chameleon_tuner.measure.base import Batch
from chameleon_tuner.measure.local import LocalMeasurer
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.measure.timing import Timing
from chameleon_tuner.progress import Silent
from chameleon_tuner.recipes import resolve_recipe, task_search
from chameleon_tuner.schedule import Budget, GradientScheduler
from chameleon_tuner.space import Configuration
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task
from chameleon_tuner.tuner import builds_together


class Sleeper:
    """Stands in for `KernelWorker`: 0.1 to 0.4 s to compile, 20 ms to run, 1 to 2 ms a kernel."""

    def __init__(self) -> None:
        self._lots: dict[int, float] = {}
        self._tickets = itertools.count()

    def load_task(self, key: str, *_: Any) -> None:
        """Nothing is learned."""
        time.sleep(0.03)

    def replay(self, key: str, configuration: Configuration) -> tuple[int, Configuration, str]:
        """Every configuration is a module of its own."""
        time.sleep(0.013)
        identity = f"{key}{configuration.to_json()}"
        ticket = next(self._tickets)
        self._lots[ticket] = zlib.crc32(identity.encode()) / 2**32
        return ticket, configuration, identity

    def compile(self, ticket: int) -> None:
        """Some take longer."""
        time.sleep(0.1 + 0.3 * self._lots[ticket])

    def run(self, ticket: int, *_: Any) -> Timing:
        """What took long to compile is slow."""
        time.sleep(0.02)
        return Timing(((1 + self._lots.pop(ticket)) * 1e-3,), False, 0.02)


class Eager:
    """All batches are proposed before any is built."""

    def __init__(self, measurer: LocalMeasurer) -> None:
        self._measurer = measurer

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`."""
        return self._measurer.measure(list(batches))


def main() -> None:
    """See the module."""
    from chameleon_tuner.tvm import frontend, prepare

    model, cores, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    search_secs = float(sys.argv[4]) if len(sys.argv) > 4 else 50.0
    program = frontend.import_model(model, None)
    target = prepare.open_target("auto", 2)
    network = prepare.prepare(program, target, 2, separable=True, winograd=True)
    for eager in (True, False) * 2:
        secs = _seconds(network.tasks, cores, Budget(trials, search_secs=search_secs), eager)
        print(
            f"{cores} cores, {'first proposed' if eager else 'proposed on the way'}: {secs:.1f} s"
        )


def _seconds(tasks: list[Task], cores: int, budget: Budget, eager: bool) -> float:
    recipe, shared, clock = resolve_recipe("chameleon"), SharedRecords(), Stopwatch()
    searches = {task.key: task_search(task, recipe, 0, shared) for task in tasks}
    together = builds_together(cores)
    scheduler = GradientScheduler(tasks, budget, recipe.batch, together=together)
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with WorkerPool("many_cores:Sleeper", cores, environment) as pool:
        measurer = LocalMeasurer(pool, clock=clock)
        begin = time.perf_counter()
        search(scheduler, searches, Eager(measurer) if eager else measurer, Silent(), clock)
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
