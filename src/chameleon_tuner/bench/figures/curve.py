"""Curves: the incumbents of a run over time, with neutrally measured latencies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chameleon_tuner.core.configuration import Configuration, DeployedKernel, LoweredByTVM
from chameleon_tuner.ports.runlog import Incumbent, RunLog, is_metaschedule


@dataclass(frozen=True)
class Curve:
    """The incumbents of one run, each timed again by the neutral timer.

    Every latency is that of the current incumbent, not the minimum so far: a tuner that mistakes a
    slower kernel for a faster one would deploy the slower one. If no candidate ran, the sequences
    are empty and `final_us` is infinite.

    Attributes:
        recipe: Label of the recipe in the comparison.
        task: Name of the task.
        seed: Seed of the search.
        seconds: Time on the run's clock at every incumbent, ascending.
        measurements: Trials up to and including every incumbent, ascending.
        steps: Exploration steps up to every incumbent, ascending; zeros if the tuner does not
            report them.
        best_us: Neutrally measured microseconds of every incumbent; infinite if the neutral timer
            could not run it.
        own_us: Microseconds of every incumbent as measured by the tuner, descending.
        final_us: Neutrally measured microseconds of the last incumbent.
        startup_secs: Time on the clock before the first batch.
        total_secs: Duration of the whole run in seconds.
        trials: Number of trials in the whole run.
        total_steps: Exploration steps in the whole run; 0 if the tuner does not report them.
        spent: Seconds by activity (explore, sample, fit, build, run, other, total); empty if the
            tuner does not report them.
        failures: Number of trials that were not `ok`, by status.
        error: Why the run ended early; empty if it did not.
    """

    recipe: str
    task: str
    seed: int
    seconds: Sequence[float] = ()
    measurements: Sequence[int] = ()
    steps: Sequence[int] = ()
    best_us: Sequence[float] = ()
    own_us: Sequence[float] = ()
    final_us: float = float("inf")
    startup_secs: float = 0.0
    total_secs: float = 0.0
    trials: int = 0
    total_steps: int = 0
    spent: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


def curve_of(log: RunLog, neutral_us: Mapping[DeployedKernel, float]) -> Curve:
    """Build the curve of a run from its log and the neutral timer's results.

    Args:
        log: Log of the run, cut to its budget.
        neutral_us: Microseconds of the kernels of all incumbents.
    """
    incumbents = log.incumbents()
    deployed = _deployed(log.recipe, incumbents)
    best = [neutral_us.get(kernel, math.inf) if kernel else math.inf for kernel in deployed]
    return Curve(
        recipe=log.recipe,
        task=log.task,
        seed=log.seed,
        seconds=tuple(i.seconds for i in incumbents),
        measurements=tuple(i.measurements for i in incumbents),
        steps=tuple(i.steps for i in incumbents),
        best_us=tuple(best),
        own_us=tuple(i.own_secs * 1e6 for i in incumbents),
        final_us=best[-1] if best else math.inf,
        startup_secs=log.startup_secs,
        total_secs=log.total_secs,
        trials=len(log.trials),
        total_steps=log.batches[-1].steps if log.batches else 0,
        spent=log.spent,
        failures=log.failures(),
        error=log.error,
    )


def incumbents_of(logs: Sequence[RunLog]) -> dict[str, list[DeployedKernel]]:
    """Return the distinct kernels that were incumbents of any run, by task name."""
    found: dict[str, dict[DeployedKernel, None]] = {}
    for log in logs:
        mine = found.setdefault(log.task, {})
        deployed = _deployed(log.recipe, log.incumbents())
        mine.update({kernel: None for kernel in deployed if kernel})
    return {task: list(mine) for task, mine in found.items() if mine}


def _deployed(recipe: str, incumbents: Sequence[Incumbent]) -> list[DeployedKernel | None]:
    """Return the incumbents' kernels as their tuner deploys them; None for unknown kernels."""
    kernels = [incumbent.kernel for incumbent in incumbents]
    if not is_metaschedule(recipe):
        return [*kernels]
    return [LoweredByTVM(k) if isinstance(k, Configuration) else k for k in kernels]
