"""Compare short searches with and without the opening of the analytic model.

    python benchmarks/opening.py model.onnx [--kernels 8] [--trials 32] [--batch 4]

The heaviest kernels of a model are searched by the recipe `chameleon`, and by the same without its
opening, in turns. The table has the best latency after so many trials over that of the kernel's
default schedule, the geometric mean of the kernels in its last line; all measured once, as a search
measures them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean, median

from chameleon_tuner.backends.tvm.backend import HANDLER
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import open_target, prepare
from chameleon_tuner.bench.compare.searching import Terms, searched
from chameleon_tuner.core.agreement import TOLERANCE
from chameleon_tuner.measure.local.judge import LocalJudge
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.judge import Final
from chameleon_tuner.search.recipes import Recipe, resolve_recipe
from chameleon_tuner.search.sample.base import Sampler
from chameleon_tuner.search.sample.opening import WithOpening
from chameleon_tuner.search.sample.portfolio import ByKind
from chameleon_tuner.space.task import DIRECT, Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import cpu_name, thread_environment, usable_cores

AFTER = (2, 4, 8, 16, 32, 64)


def recipes(batch: int) -> dict[str, Recipe]:
    """Return the recipe with its opening, and without it."""
    whole = replace(resolve_recipe("chameleon"), batch=batch)

    def later(task: Task) -> Sampler:
        sampler = whole.sampler(task)
        assert isinstance(sampler, ByKind)  # noqa: S101 - it is what is compared here
        assert isinstance(sampler.tiled, WithOpening)  # noqa: S101
        return sampler.tiled.sampler

    return {"with": whole, "without": replace(whole, sampler=later)}


def best_after(seconds: Sequence[float]) -> list[float]:
    """Return the best latencies after some numbers of trials."""
    return [min(seconds[:count]) for count in AFTER if count <= len(seconds)]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--kernels", type=int, default=8)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    asked = parser.parse_args()
    threads = usable_cores()
    os.environ.update(thread_environment(threads))
    network = prepare(import_model(asked.model), open_target("auto", threads), threads)
    own = [task for task in network.tasks if task.algorithm == DIRECT]
    heavy = sorted(own, key=lambda task: -task.flops * task.weight)[: asked.kernels]
    after = [count for count in AFTER if count <= asked.trials]
    print(f"{cpu_name()}; best after {', '.join(map(str, after))} trials over the default schedule")
    ratios: dict[str, list[list[float]]] = {"with": [], "without": []}
    with WorkerPool(HANDLER, threads, thread_environment(threads)) as pool:
        for task in heavy:
            clock = Stopwatch()
            measurer = LocalMeasurer(pool, clock=clock)
            [default] = next(LocalJudge(pool).judge([Final(task, [])], TOLERANCE))
            usual = median(default.samples)
            for name, recipe in recipes(asked.batch).items():
                terms = Terms(name, 0, asked.trials)
                log = searched(task, recipe, terms, measurer, clock, lambda log: None)
                found = best_after([trial.own_secs for trial in log.trials])
                ratios[name].append([best / usual for best in found])
                shown = " ".join(f"{ratio:6.2f}" for ratio in ratios[name][-1])
                print(f"{task.name:50} {1e6 * usual:7.0f} us {name:8} {shown}", flush=True)
    for name, mine in ratios.items():
        means = " ".join(f"{geometric_mean(column):6.2f}" for column in zip(*mine, strict=False))
        print(f"{'geometric mean':50} {'':10} {name:8} {means}")


if __name__ == "__main__":
    main()
