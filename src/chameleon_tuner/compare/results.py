"""From logs and neutral figures to curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chameleon_tuner.compare.contest import is_metaschedule
from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.compare.runlog import Incumbent, RunLog
from chameleon_tuner.space import Configuration, Deployed, LoweredByTVM


def curve_of(log: RunLog, neutral_us: Mapping[Deployed, float]) -> Curve:
    """A run with the neutral figures in place of its own.

    Args:
        log: of the run, cut to its budget.
        neutral_us: of every incumbent's kernel.
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


def incumbents_of(logs: Sequence[RunLog]) -> dict[str, list[Deployed]]:
    """Every kernel that was an incumbent of a run, once, by task: what is timed again."""
    found: dict[str, dict[Deployed, None]] = {}
    for log in logs:
        mine = found.setdefault(log.task, {})
        deployed = _deployed(log.recipe, log.incumbents())
        mine.update({kernel: None for kernel in deployed if kernel})
    return {task: list(mine) for task, mine in found.items() if mine}


def _deployed(recipe: str, incumbents: Sequence[Incumbent]) -> list[Deployed | None]:
    """The kernels as their tuner deploys them."""
    kernels = [incumbent.kernel for incumbent in incumbents]
    if not is_metaschedule(recipe):
        return [*kernels]
    return [LoweredByTVM(k) if isinstance(k, Configuration) else k for k in kernels]
