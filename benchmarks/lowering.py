"""What each way of lowering costs to compile, and what its kernels are worth.

    python benchmarks/lowering.py [resnet18-6 vgg16-2 alexnet-1] [--recorded RECORDING.jsonl.gz]

For each layer of the paper that is named, 12 of the fastest configurations that a comparison
measured and 14 random ones are compiled in every way, and the kernels timed in turns, on all cores.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from chameleon_tuner.bench.compare.suites import tasks_of
from chameleon_tuner.bench.recording import read_recordings
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import thread_environment, usable_cores

RECORDED = Path(__file__).parent / "results" / "paper-layers" / "recording.jsonl.gz"
LAYERS = ("resnet18-6", "vgg16-2", "alexnet-1")
GOOD, RANDOM, ROUNDS, ROUND_SECS = 12, 14, 3, 0.02


def ways() -> dict[str, Callable[[Any], Any]]:
    """By name: a context for a target."""
    import tvm

    from chameleon_tuner.backends.tvm.lower.kernel import lean_lowering

    def unsimplified(target: Any) -> Any:
        disabled = ["s_tir.RenormalizeSplitPattern", "tirx.RemoveNoOp", "tirx.StmtSimplify"]
        return tvm.transform.PassContext(opt_level=2, disabled_pass=disabled)

    return {
        "TVM's own": lambda target: tvm.transform.PassContext(opt_level=2),
        "without eliminating common subexpressions": lambda target: tvm.transform.PassContext(
            opt_level=2, config={"tirx.disable_cse_tir": True}
        ),
        "lean": lean_lowering,
        "lean, unchecked": functools.partial(lean_lowering, checked=False),
        "not simplified after unrolling": unsimplified,
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", default=LAYERS)
    parser.add_argument("--recorded", type=Path, default=RECORDED)
    asked = parser.parse_args()
    os.environ.update(thread_environment(usable_cores()))
    tasks = {task.name: task for task in tasks_of("paper-layers")}
    fastest = {
        recording.task.name: sorted(recording.outcomes, key=lambda outcome: outcome.seconds)
        for recording in read_recordings([asked.recorded])
    }
    for name in asked.layers:
        if name not in fastest:
            parser.error(f"{name} is not in {asked.recorded}; it has {', '.join(fastest)}")
        good = [outcome.configuration for outcome in fastest[name][: 5 * GOOD : 5]]
        space = tasks[name].space
        some = space.sample(RANDOM, np.random.default_rng(1))
        compare(tasks[name], [*good, *space.configurations(some)], len(good))


def compare(task: Task, configurations: list[Configuration], good: int) -> None:
    """Print a line a way."""
    from chameleon_tuner.backends.tvm.lower import kernel as kernels
    from chameleon_tuner.backends.tvm.rewrites.base import traced_space
    from chameleon_tuner.backends.tvm.run.arguments import Arguments

    space, known = traced_space(task.module, task.target), ways()
    device = kernels.device_of(space.target)
    arguments = Arguments(kernels.argument_shapes(space.module), device)
    compiling: dict[str, list[float]] = {way: [] for way in known}
    running: dict[str, list[float]] = {way: [] for way in known}
    for number, configuration in enumerate(configurations):
        try:
            module = space.replay(configuration).schedule.mod
        except RejectedError:
            good -= number < good
            continue
        timers = {}
        for way, context in known.items():
            begin = time.perf_counter()
            with context(space.target):
                kernel = kernels.compile_by_tvm(module, space.target)
            compiling[way].append(time.perf_counter() - begin)
            timers[way] = kernel.timer([arguments.views(kernel.shapes)])
        for way, secs in _interleaved(timers).items():
            running[way].append(secs)
    for way in known:
        ratios = np.log(np.array(running[way]) / running["TVM's own"])
        print(
            f"{task.name}, {way}: compiling {np.mean(compiling[way]):.3f} s "
            f"(median {np.median(compiling[way]):.3f}), kernels at "
            f"{np.exp(ratios[:good].mean()):.3f} of their time (worst "
            f"{np.exp(ratios[:good].max()):.2f}), random ones at {np.exp(ratios[good:].mean()):.3f}"
        )


def _interleaved(timers: dict[str, Callable[[int], float]]) -> dict[str, float]:
    once = next(iter(timers.values()))
    once(1)
    runs = max(1, int(ROUND_SECS / max(once(1), 1e-6)))
    rounds = [{way: timer(runs) for way, timer in timers.items()} for _ in range(ROUNDS)]
    return {way: min(times[way] for times in rounds) for way in timers}


if __name__ == "__main__":
    main()
