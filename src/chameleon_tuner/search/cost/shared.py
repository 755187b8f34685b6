"""Records that the tasks of one network share: a tile that is good in one is good in another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chameleon_tuner.search.cost.base import FloatArray, TargetOptions, Targets, targets
from chameleon_tuner.search.cost.boosted import Float32
from chameleon_tuner.search.history import History


class Lessons:
    """The features and targets of a growing history, computed when they are needed.

    Args:
        history: The history of a task.
        options: The parameters of the transform from outcomes to targets.

    Attributes:
        history: The history of the task.
    """

    def __init__(self, history: History, options: TargetOptions) -> None:
        self.history, self._options = history, options
        self._length = 0
        self._known: tuple[Float32, Targets] | None = None

    def known(self) -> tuple[Float32, Targets] | None:
        """Return features, shape (n, d), and targets of what ran; None if nothing did."""
        history = self.history
        if len(history) != self._length and len(ran := history.ran):
            self._known = history.space.encode(ran), targets(history, self._options)
            self._length = len(history)
        return self._known


MOST_RECORDS = 512
"""The largest number of records from all other tasks together; a fit to this many takes 0.1 s."""

WORTH = 16.0
"""The total weight of the other tasks' records, in records of the task itself. They determine the
first batch, and are outvoted after the second."""


@dataclass
class SharedRecords:
    """The records of all tasks of a network, grouped by the names of their features.

    Tasks share records if their design spaces have the same features, as have convolutions of one
    kind, whatever their sizes. Scores are relative to the best of their own task, so that the sizes
    do not matter; tiles, footprints and the innermost work do.
    """

    _tasks: dict[tuple[str, ...], list[Lessons]] = field(default_factory=dict)

    def join(self, lessons: Lessons) -> None:
        """Share a task's history with the other tasks, from now on and as it grows."""
        self._alike(lessons.history).append(lessons)

    def leave(self, lessons: Lessons) -> None:
        """Stop sharing a task's history."""
        self._alike(lessons.history).remove(lessons)

    def with_others(
        self, lessons: Lessons, rng: np.random.Generator
    ) -> tuple[Float32, Targets] | None:
        """Return a task's own records and a sample of the others', or None if there are neither."""
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
        """Return the histories of other tasks with an equal design space, including all sizes.

        For example, a convolution followed by a residual addition and one without it are twins.
        """
        alike = (other.history for other in self._others(history))
        return [other for other in alike if other.space == history.space]

    def others(self, history: History) -> list[History]:
        """Return the histories of all other tasks that share records with a task."""
        return [other.history for other in self._others(history)]

    def _others(self, history: History) -> list[Lessons]:
        return [other for other in self._alike(history) if other.history is not history]

    def _alike(self, history: History) -> list[Lessons]:
        return self._tasks.setdefault(history.space.feature_names, [])
