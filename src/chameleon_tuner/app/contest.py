"""The tuned model beside what it has to beat: outputs and latency, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chameleon_tuner.core.agreement import difference
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import Worker, WorkerLimits
from chameleon_tuner.ports.handler import (
    TUNED,
    UNTUNED,
    Comparison,
    Failed,
    HasModels,
    ModelOutputs,
    OpenModel,
    PartShares,
    Request,
    TimeModel,
)

R = TypeVar("R")

ROUND_SECS = 0.2
"""Seconds that each contestant runs in a round."""

ROUNDS, MOST_ROUNDS = 5, 15
"""Rounds of a comparison, and of a close one."""

CLOSE = 1.05
"""Medians within this ratio are close: more rounds decide."""

_PAUSE_SECS = 0.1
"""Seconds of rest before every turn: threads of onnxruntime spin for about 50 ms after a call."""

_HOPELESS = 10.0
"""A model that takes this multiple of the tuned one has a single round: an untuned ResNet-18 takes
2 s a call."""

_HOPELESS_SECS = 1.0
"""A first call that takes longer, and that multiple, is the only one: it is no hiccup."""

_TIMEOUT_SECS = 900.0


@dataclass
class _Contestant:
    """A model in its process, with what was timed."""

    worker: Worker[HasModels]
    first_secs: float = 0.0
    outputs: list[Any] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)


def compared(contestants: Mapping[str, OpenModel], pool: WorkerPool[HasModels]) -> Comparison:
    """Compare models that compute the same.

    Args:
        contestants: How every contestant is opened, by name; `TUNED` is one of them.
        pool: Its workers are replaced by new ones, one a contestant, and these again afterwards.

    Returns:
        The comparison; a contestant that fails takes no part.
    """
    # New workers: one keeps every library that it loaded, also a refused one of the same name, and
    # whatever candidates did to its memory.
    new = pool.lent(len(contestants), WorkerLimits.of_one())
    with new as workers, MachineLock().running():
        contest = _Contest(pool)
        for (name, opening), worker in zip(contestants.items(), list(workers), strict=True):
            contest.admit(name, opening, worker)
        contest.time()
        return contest.result()


class _Contest:
    """Models that are timed in turns."""

    def __init__(self, pool: WorkerPool[HasModels]) -> None:
        self._pool = pool
        self._running: dict[str, _Contestant] = {}
        self._failed: dict[str, str] = {}

    def admit(self, name: str, opening: OpenModel, worker: Worker[HasModels]) -> None:
        """Open a model, and run it once.

        Args:
            name: Name of the contestant.
            opening: How it is opened.
            worker: Its process.
        """
        mine = _Contestant(worker)
        try:
            self._ask(mine, opening)
            begin = time.perf_counter()
            mine.outputs = self._ask(mine, ModelOutputs())
            mine.first_secs = time.perf_counter() - begin
        except Failed as failure:
            self._out(name, failure)
        else:
            self._running[name] = mine

    def time(self) -> None:
        """Time everybody in turns; a close result gets more rounds."""
        for number in range(MOST_ROUNDS):
            if number == ROUNDS and not self._close():
                break
            for name, mine in list(self._running.items()):
                if self._has_turn(name, mine, number):
                    time.sleep(_PAUSE_SECS)
                    try:
                        mine.samples.append(self._ask(mine, TimeModel(ROUND_SECS)))
                    except Failed as failure:
                        self._out(name, failure)

    def result(self) -> Comparison:
        """Return what was found."""
        samples, tuned = self._samples(), self._running.get(TUNED)
        if tuned is None:
            return Comparison(samples, {}, self._failed)
        errors = {
            name: difference(tuned.outputs, mine.outputs)
            for name, mine in self._running.items()
            if name != TUNED
        }
        return Comparison(samples, errors, self._failed, self._shares(tuned))

    def _samples(self) -> dict[str, list[float]]:
        return {name: mine.samples for name, mine in self._running.items()}

    def _shares(self, tuned: _Contestant) -> Mapping[str, float]:
        try:
            return self._ask(tuned, PartShares())
        except Failed:
            return {}

    def _has_turn(self, name: str, mine: _Contestant, number: int) -> bool:
        tuned = self._running.get(TUNED)
        if name == TUNED or tuned is None:
            return True
        if name == UNTUNED and mine.first_secs > max(_HOPELESS_SECS, _HOPELESS * tuned.first_secs):
            mine.samples = [mine.first_secs]
            return False
        return number == 0 or mine.samples[0] <= _HOPELESS * tuned.samples[0]

    def _close(self) -> bool:
        latency = Comparison(self._samples(), {}).latency_secs
        tuned = latency.pop(TUNED, 0.0)
        return any(tuned < CLOSE * secs and secs < CLOSE * tuned for secs in latency.values())

    def _out(self, name: str, failure: Failed) -> None:
        self._running.pop(name, None)
        self._failed[name] = failure.told

    def _ask(self, mine: _Contestant, request: Request[HasModels, R]) -> R:
        return self._pool.call(mine.worker, request, _TIMEOUT_SECS)
