"""One round of adaptive sampling, reconstructed from the log of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.ports.runlog import RunLog
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.explore.local import AnnealingExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.adaptive import AdaptiveSampler
from chameleon_tuner.space.task import Task

PLAN = 64
"""Default maximum batch size of the round."""

_SEED = 0
"""Seed of the exploration and of the sampling."""


@dataclass(frozen=True)
class SamplingRound:
    """The inputs of one round of adaptive sampling.

    Attributes:
        task: Name of the task.
        history: Trials that the run had measured before this round.
        candidates: Candidates that annealing finds with a cost model of the history.
        sampler: Sampler that selects among the candidates.
        plan: Maximum number of candidates that it may select.
        seed: Seed of the selection.
    """

    task: str
    history: History
    candidates: Candidates
    sampler: AdaptiveSampler
    plan: int = PLAN
    seed: int = _SEED


def sampling_round(tasks: Sequence[Task], logs: Sequence[RunLog]) -> SamplingRound | None:
    """Reconstruct a round in the middle of the first run with the adaptive sampler.

    Logs do not contain candidates. So the cost model is fitted again to the trials in the first
    half of the run's batches, and annealing explores the design space with it again.

    Args:
        tasks: Tasks of the comparison.
        logs: Logs of the runs.

    Returns:
        The round; None if no run used the adaptive sampler for more than one batch.
    """
    known = {task.name: task for task in tasks}
    for log in logs:
        if "adaptive" in log.recipe and len(log.batches) > 1 and log.task in known:
            return _again(known[log.task], log)
    return None


def _again(task: Task, log: RunLog) -> SamplingRound:
    """Reconstruct the round after the first half of a run's batches."""
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
