"""Measuring without hardware: outcomes from recorded measurements, and a virtual clock."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.search.cost.base import Targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Ensemble, fit
from chameleon_tuner.space import IntArray
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

FloatArray = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]

POLICIES = ("nearest", "surrogate")
"""Ways to estimate the outcome of a configuration that was not recorded, see `ReplayMeasurer`."""

# Options of the surrogate policy's model: one ensemble for all candidates that ran. It fits the
# records as closely as `testing.landscapes.recorded_landscape`, with a correlation above 0.95 with
# the recorded scores.
_CLOSE = BoostingOptions(members=1, rounds=150, shrinkage=0.1, share=1.0, feature_share=1.0)

# Distance added between sketches, in standard deviations. It is larger than the distance of any two
# configurations of one sketch.
_OTHER_SKETCH = 1e6

# A feature with at most this variance is taken to be equal in all records, except for rounding.
_CONSTANT = 1e-12


class Recorded(Protocol):
    """The interface of recorded measurements of one task, such as `bench.recording.Recording`."""

    @property
    def task(self) -> Task:
        """The recorded task; its module may be empty."""
        ...

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The outcomes, one per configuration."""
        ...

    @property
    def threads(self) -> int:
        """The number of threads that built candidates in parallel."""
        ...


class VirtualClock(Stopwatch):
    """A clock that only `advance` moves.

    The computations of a search take no time on this clock. Their real time differs from run to
    run, so that no replay could be repeated exactly if the clock counted it.
    """

    @contextlib.contextmanager
    def timing(self, activity: str) -> Iterator[None]:
        """Ignore the time of the block: this clock does not count real seconds."""
        yield

    def advance(self, activity: str, seconds: float) -> None:
        """Count seconds for an activity.

        Args:
            activity: One of `system.clock.ACTIVITIES`.
            seconds: The seconds, not negative.

        Raises:
            ValueError: The seconds are negative, infinite or nan.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock cannot advance by {seconds} s")
        self._spent[activity] += seconds

    def total(self) -> float:
        """Return the seconds by which the clock was advanced."""
        return sum(self._spent.values())


def replayed(
    configuration: Configuration,
    status: Status,
    seconds: float,
    build_secs: float,
    run_secs: float,
) -> Outcome:
    """Build an outcome without hardware.

    The configuration that ran is the proposed one. Every configuration counts as a module of its
    own.

    Args:
        configuration: The configuration.
        status: How the measurement ended.
        seconds: The only sample; infinite for failures.
        build_secs: Seconds of replaying and compiling.
        run_secs: Seconds of loading, drawing inputs and running.

    Returns:
        The outcome.
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
    """A measurer that takes outcomes of one task from its records; equal in every process.

    A recorded configuration gets its own outcome. The policy determines the outcome of any other
    configuration:

    - `nearest` copies the outcome of the nearest recorded configuration of the same sketch, or of
      any sketch if that sketch has no records. The distance is Euclidean in the standardised
      encoding.
    - `surrogate` copies only the failure and the costs from there. The seconds are predicted by
      boosted trees that are fitted once to all records that ran.

    A batch costs on the virtual clock what it costs on hardware. First the builds run in parallel
    on the recording's threads (the sum of their seconds divided by the number of threads, but at
    least the longest build). Then the runs follow one after another.

    Args:
        recording: The records of the task.
        policy: One of `POLICIES`.
        clock: The clock that every batch advances.

    Attributes:
        exact: Number of outcomes so far of recorded configurations.
        estimated: Number of outcomes so far of other configurations.

    Raises:
        UsageError: There is no such policy, or nothing is recorded.
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
        """Return a copy with another clock and counters at 0; it shares what is fitted already."""
        other = copy.copy(self)
        other._clock, other.exact, other.estimated = clock, 0, 0
        return other

    def warm(self) -> None:
        """Do the encoding and fitting now that would otherwise be done at first use."""
        _ = self._rows, self._features, self._seconds
        if self._policy == "surrogate":
            _ = self._model

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`; the incumbent has no influence on the outcomes.

        Raises:
            UsageError: A batch is of another task.
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
        """Return the latencies that `measure` reports, in microseconds; infinite for failures.

        The call does not advance the clock, and is not counted. Replayed measurements have no
        noise, so this takes the place of the neutral timer.

        Args:
            configurations: The n configurations.

        Returns:
            Latencies, shape (n,).
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
        """Find the nearest recorded configurations; the first one where several are as near.

        Args:
            rows: Configurations as rows of indices, shape (n, 1 + width).
            features: Their encodings.

        Returns:
            Positions in the recording, shape (n,).
        """
        from scipy.spatial.distance import cdist  # the import takes half a second

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
        """The fitted model, which predicts -log(seconds / least recorded seconds)."""
        ran = np.isfinite(self._seconds)
        scores = -np.log(self._seconds[ran] / self._seconds.min())
        targets = Targets(scores, np.ones(len(scores)))
        return fit(self._features[ran], targets, _CLOSE, np.random.default_rng(0))
