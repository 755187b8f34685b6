"""Measuring without the hardware: answers from recorded measurements, on a virtual clock."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, fit
from chameleon_tuner.cost.target import Targets
from chameleon_tuner.errors import UsageError
from chameleon_tuner.measure.base import Batch
from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.space import Configuration, IntArray
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task

FloatArray = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]

POLICIES = ("nearest", "surrogate")
"""What is answered for a configuration that was not recorded, see `ReplayMeasurer`."""

# One model of all that ran, as close to the records as `testing.landscapes.recorded_landscape`:
# correlation above 0.95 with the recorded scores.
_CLOSE = BoostingOptions(members=1, rounds=150, shrinkage=0.1, share=1.0, feature_share=1.0)

# Farther than any two configurations of one sketch, in standard deviations.
_OTHER_SKETCH = 1e6

# The variance of a feature that is the same in all records, but for rounding.
_CONSTANT = 1e-12


class Recorded(Protocol):
    """Measurements of one task; `compare.recording.Recording` is one."""

    @property
    def task(self) -> Task:
        """Whose they are; its module may be empty."""
        ...

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What was measured, every configuration once."""
        ...

    @property
    def threads(self) -> int:
        """Cores that the builds had."""
        ...


class VirtualClock(Stopwatch):
    """A clock that moves only when it is told to.

    What a search computes costs nothing here: its seconds differ from run to run, and with them
    on the clock no replay could be repeated.
    """

    @contextlib.contextmanager
    def timing(self, activity: str) -> Iterator[None]:
        """Count nothing: real seconds are not of this clock."""
        yield

    def advance(self, activity: str, seconds: float) -> None:
        """Count seconds, not negative, for one of `stopwatch.ACTIVITIES`."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock cannot advance by {seconds} s")
        self._spent[activity] += seconds

    def total(self) -> float:
        """Seconds that it was told of."""
        return sum(self._spent.values())


def replayed(
    configuration: Configuration,
    status: Status,
    seconds: float,
    build_secs: float,
    run_secs: float,
) -> Outcome:
    """An outcome without hardware: what was proposed is what ran, and is its own module.

    Args:
        configuration: of the candidate.
        status: how it ended.
        seconds: the one sample; infinite for failures.
        build_secs: replaying and compiling.
        run_secs: loading, drawing inputs and running.
    """
    ran = math.isfinite(seconds)
    return Outcome(
        configuration,
        configuration,
        f"{configuration.sketch}:{','.join(map(str, configuration.indices))}",
        status,
        samples=(seconds,) if ran else (),
        message="" if ran else "as recorded",
        build_secs=build_secs,
        run_secs=run_secs,
    )


class ReplayMeasurer:
    """Answers for one task from its recorded measurements; the same in every process.

    A recorded configuration gets its own outcome. For any other the policy decides: `nearest`
    gives it the outcome of the nearest recorded one of the same sketch (of any, where its sketch
    has none), by Euclidean distance in the standardised encoding; `surrogate` takes only failure
    and cost from there, and the seconds from boosted trees fitted once to all that ran.

    A batch costs, on the virtual clock, what it costs on hardware: the builds run in parallel on
    the recording's threads (the sum of their seconds over the threads, at least the longest),
    then the runs one after another.

    Args:
        recording: of one task.
        policy: one of `POLICIES`.
        clock: is advanced by every batch.

    Attributes:
        exact: answers so far for recorded configurations.
        estimated: answers so far for others.

    Raises:
        UsageError: there is no such policy, or nothing is recorded.
    """

    def __init__(
        self, recording: Recorded, policy: str = "nearest", clock: VirtualClock | None = None
    ) -> None:
        if policy not in POLICIES:
            raise UsageError(f"unknown policy {policy!r}; known: {', '.join(POLICIES)}")
        if not recording.outcomes:
            raise UsageError(f"nothing is recorded of {recording.task.name}: record it first")
        self._task, self._threads = recording.task, recording.threads
        self._outcomes, self._policy = recording.outcomes, policy
        self._clock = clock or VirtualClock()
        self._known = {outcome.configuration: outcome for outcome in recording.outcomes}
        self.exact = self.estimated = 0

    def on(self, clock: VirtualClock) -> ReplayMeasurer:
        """The same answers on another clock; what was fitted is shared."""
        other = copy.copy(self)
        other._clock, other.exact, other.estimated = clock, 0, 0
        return other

    def warm(self) -> None:
        """Fit and encode now what would be on first need."""
        _ = self._rows, self._features, self._seconds
        if self._policy == "surrogate":
            _ = self._model

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`; the incumbent makes no difference.

        Raises:
            UsageError: one is another task's.
        """
        return [self._measured(batch.task, batch.configurations) for batch in batches]

    def _measured(self, task: Task, configurations: Sequence[Configuration]) -> list[Outcome]:
        if task.key != self._task.key:
            raise UsageError(f"{self._task.name} is recorded here, not {task.name}: replay that")
        answers = self._answers(configurations)
        exact = sum(configuration in self._known for configuration in configurations)
        self.exact += exact
        self.estimated += len(configurations) - exact
        building = [answer.build_secs for answer in answers]
        parallel = max(sum(building) / self._threads, max(building, default=0.0))
        self._clock.advance("build", parallel)
        self._clock.advance("run", sum(answer.run_secs for answer in answers))
        return answers

    def true_us(self, configurations: Sequence[Configuration]) -> FloatArray:
        """Microseconds (n,) as `measure` answers, infinite for failures; costs and counts nothing.

        Replayed measurements have no noise, so this is the neutral timer of a replay.
        """
        return np.array([answer.seconds * 1e6 for answer in self._answers(configurations)])

    def _answers(self, configurations: Sequence[Configuration]) -> list[Outcome]:
        unknown = [c for c in configurations if c not in self._known]
        answers = self._known | self._estimates(unknown) if unknown else self._known
        return [answers[c] for c in configurations]

    def _estimates(self, configurations: Sequence[Configuration]) -> dict[Configuration, Outcome]:
        rows = self._task.space.rows(configurations)
        features = self._task.space.encode(rows)
        nearest = self._nearest(rows, features)
        seconds = self._seconds[nearest]
        ran = np.isfinite(seconds)
        if self._policy == "surrogate" and ran.any():
            scores = self._model.predict(features[ran]).mean
            seconds[ran] = self._seconds.min() * np.exp(-scores)
        like = [self._outcomes[number] for number in nearest.tolist()]
        return {
            c: replayed(c, near.status, secs, near.build_secs, near.run_secs)
            for c, near, secs in zip(configurations, like, seconds.tolist(), strict=True)
        }

    def _nearest(self, rows: IntArray, features: Features) -> npt.NDArray[np.int64]:
        """Numbers (n,) of the recorded ones; of those that are as near, the first."""
        from scipy.spatial.distance import cdist  # half a second to import

        variance = self._features.var(axis=0, dtype=np.float64)
        scale = np.where(variance > _CONSTANT, variance, 1.0)
        distances = cdist(features, self._features, "seuclidean", V=scale)
        distances += _OTHER_SKETCH * (rows[:, :1] != self._rows[:, 0])
        return np.asarray(distances.argmin(axis=1))

    @cached_property
    def _rows(self) -> IntArray:
        return self._task.space.rows([outcome.configuration for outcome in self._outcomes])

    @cached_property
    def _features(self) -> Features:
        return self._task.space.encode(self._rows)

    @cached_property
    def _seconds(self) -> FloatArray:
        return np.array([outcome.seconds for outcome in self._outcomes])

    @cached_property
    def _model(self) -> Ensemble:
        """Predicts -log(seconds / least recorded seconds)."""
        ran = np.isfinite(self._seconds)
        scores = -np.log(self._seconds[ran] / self._seconds.min())
        targets = Targets(scores, np.ones(len(scores)))
        return fit(self._features[ran], targets, _CLOSE, np.random.default_rng(0))
