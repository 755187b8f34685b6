"""A run as it is compared: what its tuner had found when, by the neutral timer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Curve:
    """One run's incumbents, each re-timed by the timer that is the same for everybody.

    The figures are of the incumbent at that point, not the least of them so far: a tuner that
    believed a worse kernel to be better would have handed that one over. Where nothing was
    measured, the sequences are empty and `final_us` is infinite.

    Attributes:
        recipe: as the comparison names it.
        task: name of the task.
        seed: of the search.
        seconds: of the run's clock at every incumbent, ascending.
        measurements: up to every incumbent, ascending.
        steps: of exploration up to every incumbent, ascending; zeros where the tuner does not
            say.
        best_us: neutral microseconds of every incumbent; infinite where the neutral timer could
            not run it.
        own_us: what the tuner believed, descending.
        final_us: neutral microseconds of the last incumbent.
        startup_secs: of the clock before the first batch.
        total_secs: of the whole run.
        trials: measured in the whole run.
        total_steps: of exploration in the whole run; 0 where the tuner does not say.
        spent: seconds by activity (explore, sample, fit, build, run, other, total); empty where
            the tuner does not say.
        failures: trials that were not `ok`, by status.
        error: why the run ended early; empty where it did not.
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
