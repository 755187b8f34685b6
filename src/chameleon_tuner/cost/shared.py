"""What the tasks of one network tell each other: a tile that is good in one is good in another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chameleon_tuner.cost.base import FloatArray
from chameleon_tuner.cost.boosted import Float32
from chameleon_tuner.cost.lessons import Lessons
from chameleon_tuner.cost.target import Targets
from chameleon_tuner.history import History

MOST_RECORDS = 512
"""Of all other tasks together; a fit to as many takes 0.1 s."""

WORTH = 16.0
"""The others' records weigh as much as so many of the task's own: they decide the first batch,
and are outvoted after the second."""


@dataclass
class SharedRecords:
    """What all tasks of a network have measured, by the names of their features.

    Tasks share what they learned when their spaces have the same features: convolutions of one
    kind, whatever their sizes. Scores are relative to the best of their own task, so the sizes do
    not matter; tiles, footprints and the innermost work do.
    """

    _tasks: dict[tuple[str, ...], list[Lessons]] = field(default_factory=dict)

    def join(self, lessons: Lessons) -> None:
        """Let the others learn from a task's history, from now on and as it grows."""
        self._alike(lessons.history).append(lessons)

    def leave(self, lessons: Lessons) -> None:
        """Let nobody learn from it any more."""
        self._alike(lessons.history).remove(lessons)

    def with_others(
        self, lessons: Lessons, rng: np.random.Generator
    ) -> tuple[Float32, Targets] | None:
        """A task's own records and a sample of the others'; None where there are neither."""
        own = lessons.known()
        alike = self._others(lessons.history)
        others = [known for other in alike if (known := other.known()) is not None]
        if not others:
            return own
        features = np.concatenate([known[0] for known in others])
        scores = np.concatenate([known[1].scores for known in others])
        weights = np.concatenate([known[1].weights for known in others])
        some = rng.permutation(len(features))[:MOST_RECORDS]
        features, scores, weights = features[some], scores[some], weights[some]
        if own is None:
            return features, Targets(scores, weights)
        scaled: FloatArray = weights * (WORTH / weights.sum())
        return (
            np.concatenate([own[0], features]),
            Targets(
                np.concatenate([own[1].scores, scores]),
                np.concatenate([own[1].weights, scaled]),
            ),
        )

    def twins(self, history: History) -> list[History]:
        """The histories of other tasks whose design space is the same, size by size.

        A convolution with a residual behind it and one without are twins.
        """
        alike = (other.history for other in self._others(history))
        return [other for other in alike if other.space == history.space]

    def _others(self, history: History) -> list[Lessons]:
        return [other for other in self._alike(history) if other.history is not history]

    def _alike(self, history: History) -> list[Lessons]:
        return self._tasks.setdefault(history.space.feature_names, [])
