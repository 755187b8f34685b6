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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chameleon_tuner.app.progress import Silent
from chameleon_tuner.app.tune import builds_together
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.handler import HandlerEntry, HasCandidates, Scheduled
from chameleon_tuner.ports.measurer import Batch, Timing, TimingPolicy
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.loop import search
from chameleon_tuner.search.recipes import resolve_recipe, task_search
from chameleon_tuner.search.schedule import Budget, GradientScheduler
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch


class Sleeper:
    """The handler of a worker that sleeps: it learns tasks, and builds and runs their candidates.

    Compiling a candidate takes 0.1 to 0.4 s, running it 20 ms; its kernel takes 1 to 2 ms.

    Attributes:
        tasks: See `HasCandidates`.
        candidates: See `HasCandidates`.
    """

    def __init__(self) -> None:
        self.tasks = self.candidates = self
        self._lots: dict[int, float] = {}
        self._tickets = itertools.count()

    def load_task(self, key: str, module: str, target: dict[str, Any], design: Any = None) -> None:
        """See `TaskHandler.load_task`. Nothing is learned."""
        time.sleep(0.03)

    def replay(self, key: str, configuration: Configuration) -> Scheduled:
        """See `CandidateHandler.replay`. Every configuration is a module of its own."""
        time.sleep(0.013)
        identity = f"{key}{configuration.to_json()}"
        ticket = next(self._tickets)
        self._lots[ticket] = zlib.crc32(identity.encode()) / 2**32
        return Scheduled(ticket, configuration, identity)

    def compile(self, ticket: int) -> None:
        """See `CandidateHandler.compile`. Some candidates take longer than others."""
        time.sleep(0.1 + 0.3 * self._lots[ticket])

    def forget(self, ticket: int) -> None:
        """See `CandidateHandler.forget`."""
        self._lots.pop(ticket, None)

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """See `CandidateHandler.run`. A kernel that took long to compile is slow."""
        time.sleep(0.02)
        return Timing(((1 + self._lots.pop(ticket)) * 1e-3,), False, 0.02)


HANDLER = HandlerEntry[HasCandidates]("many_cores", "Sleeper")


class Eager:
    """All batches are proposed before any is built."""

    def __init__(self, measurer: LocalMeasurer) -> None:
        self._measurer = measurer

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`."""
        return self._measurer.measure(list(batches))


def main() -> None:
    """See the module."""
    from chameleon_tuner.backends.tvm.frontend.program import import_model
    from chameleon_tuner.backends.tvm.network import open_target, prepare

    model, cores, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    search_secs = float(sys.argv[4]) if len(sys.argv) > 4 else 50.0
    network = prepare(import_model(model), open_target("auto", 2), 2)
    for eager in (True, False) * 2:
        secs = _seconds(network.tasks, cores, Budget(trials, search_secs=search_secs), eager)
        print(
            f"{cores} cores, {'first proposed' if eager else 'proposed on the way'}: {secs:.1f} s"
        )


def _seconds(tasks: Sequence[Task], cores: int, budget: Budget, eager: bool) -> float:
    recipe, shared, clock = resolve_recipe("chameleon"), SharedRecords(), Stopwatch()
    searches = {task.key: task_search(task, recipe, 0, shared) for task in tasks}
    together = builds_together(cores)
    scheduler = GradientScheduler(tasks, budget, recipe.batch, together=together)
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with WorkerPool(HANDLER, cores, environment) as pool:
        measurer = LocalMeasurer(pool, clock=clock)
        begin = time.perf_counter()
        search(scheduler, searches, Eager(measurer) if eager else measurer, Silent(), clock)
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
