"""From logs and neutral figures to curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.compare.runlog import Incumbent, Kernel, RunLog


def curve_of(log: RunLog, neutral_us: Mapping[Kernel, float]) -> Curve:
    """A run with the neutral figures in place of its own.

    Args:
        log: of the run, cut to its budget.
        neutral_us: of every incumbent's kernel.
    """
    incumbents = log.incumbents()
    best = [_neutral(incumbent, neutral_us) for incumbent in incumbents]
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


def incumbents_of(logs: Sequence[RunLog]) -> dict[str, list[Kernel]]:
    """Every kernel that was an incumbent of a run, once, by task: what is timed again."""
    found: dict[str, dict[Kernel, None]] = {}
    for log in logs:
        mine = found.setdefault(log.task, {})
        mine.update({i.kernel: None for i in log.incumbents() if i.kernel})
    return {task: list(mine) for task, mine in found.items() if mine}


def _neutral(incumbent: Incumbent, neutral_us: Mapping[Kernel, float]) -> float:
    found = incumbent.kernel
    return neutral_us.get(found, math.inf) if found else math.inf
