"""One round of adaptive sampling, again, on what a run had measured before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.compare.runlog import RunLog
from chameleon_tuner.cost.surrogate import TreeSurrogate
from chameleon_tuner.explore.annealing import AnnealingExplorer
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.sample.adaptive import AdaptiveSampler
from chameleon_tuner.task import Task

PLAN = 64
_SEED = 0


@dataclass(frozen=True)
class SamplingRound:
    """What the sampler is given.

    Attributes:
        task: name of the task.
        history: what the run measured before.
        candidates: that annealing finds on a cost model of it.
        sampler: chooses among them.
        plan: most that it may choose.
        seed: of the choice.
    """

    task: str
    history: History
    candidates: Candidates
    sampler: AdaptiveSampler
    plan: int = PLAN
    seed: int = _SEED


def sampling_round(tasks: Sequence[Task], logs: Sequence[RunLog]) -> SamplingRound | None:
    """The round after the first batches of a run with the adaptive sampler.

    Logs do not hold candidates. So the cost model is fitted again to what the run had measured
    when half of its batches were over, and annealing explores it again.

    Returns:
        None where no run used the sampler for more than one batch.
    """
    known = {task.name: task for task in tasks}
    for log in logs:
        if "adaptive" in log.recipe and len(log.batches) > 1 and log.task in known:
            return _again(known[log.task], log)
    return None


def _again(task: Task, log: RunLog) -> SamplingRound:
    measured = log.batches[len(log.batches) // 2 - 1].measurements
    history = History(task.space)
    history.extend(
        [
            replayed(t.configuration, t.status, t.own_secs, t.build_secs, t.run_secs)
            for t in log.trials[:measured]
            if t.configuration
        ]
    )
    model, rng = TreeSurrogate(task.space), np.random.default_rng(_SEED)
    model.fit(history)
    candidates = AnnealingExplorer().propose(task.space, model, history, rng)
    return SamplingRound(task.name, history, candidates, AdaptiveSampler())
