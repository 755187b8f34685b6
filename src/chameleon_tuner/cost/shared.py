"""What the tasks of one network tell each other: a tile that is good in one is good in another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chameleon_tuner.cost.base import FloatArray
from chameleon_tuner.cost.boosted import Float32
from chameleon_tuner.cost.target import Targets

MOST_RECORDS = 512
"""Of all other tasks together; a fit to as many takes 0.1 s."""

WORTH = 16.0
"""The others' records weigh as much as so many of the task's own: they decide the first batch,
and are outvoted after the second."""


@dataclass
class SharedRecords:
    """Targets of all tasks of a network, by the names of their features.

    Tasks share what they learned when their spaces have the same features: convolutions of one
    kind, whatever their sizes. Scores are relative to the best of their own task, so the sizes do
    not matter; tiles, footprints and the innermost work do.
    """

    _tasks: dict[tuple[str, ...], dict[int, tuple[Float32, Targets]]] = field(default_factory=dict)

    def publish(
        self, names: tuple[str, ...], task: int, features: Float32, targets: Targets
    ) -> None:
        """Replace what is known of a task, (n, d) features and their targets."""
        self._tasks.setdefault(names, {})[task] = features, targets

    def with_others(
        self,
        names: tuple[str, ...],
        task: int,
        own: tuple[Float32, Targets] | None,
        rng: np.random.Generator,
    ) -> tuple[Float32, Targets] | None:
        """A task's own records and a sample of the others'; None where there are neither."""
        others = [known for key, known in self._tasks.get(names, {}).items() if key != task]
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
