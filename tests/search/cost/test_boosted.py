from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.search.cost.base import Targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Ensemble, Float32, fit


def plain(scores: np.ndarray) -> Targets:
    """Targets of weight 1."""
    return Targets(scores, np.ones(len(scores)))


def learned(features: Float32, goal: Targets, options: BoostingOptions | None = None) -> Ensemble:
    return fit(features, goal, options or BoostingOptions(), np.random.default_rng(0))


def some_data(seed: int, count: int = 120, width: int = 5) -> tuple[Float32, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 6, (count, width)).astype(np.float32)
    return features, np.sin(features[:, 0]) + features[:, 1] * features[:, 2] / 10


def test_learns_what_it_was_told() -> None:
    features, scores = some_data(1)
    found = learned(features, plain(scores)).predict(features)
    assert np.corrcoef(found.mean, scores)[0, 1] > 0.95


def test_is_less_certain_where_it_saw_nothing() -> None:
    rng = np.random.default_rng(0)
    known = rng.random((200, 2)).astype(np.float32)
    scores = np.sin(6 * known[:, 0])
    narrow = known[:, 0] < 0.5
    ensemble = learned(known[narrow], plain(scores[narrow]))
    spread = ensemble.predict(known)
    error = np.abs(spread.mean - scores)
    assert error[~narrow].mean() > 3 * error[narrow].mean()


def test_weights_decide_between_contradictions() -> None:
    features = np.zeros((40, 1), dtype=np.float32)
    scores = np.where(np.arange(40) % 2 == 0, 0.0, -1.0)
    weights = np.where(scores == 0.0, 9.0, 1.0)
    found = learned(features, Targets(scores, weights)).predict(features[:1])
    assert -0.25 < found.mean[0] < -0.02


def test_the_same_generator_gives_the_same_model() -> None:
    features, scores = some_data(2)
    first, second = (learned(features, plain(scores)).predict(features) for _ in range(2))
    assert (first.mean == second.mean).all()
    assert (first.std == second.std).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.floats(-4, 0))
def test_predictions_are_finite_and_within_what_was_seen(
    count: int, width: int, score: float
) -> None:
    rng = np.random.default_rng(count)
    features = rng.integers(0, 9, (count, width)).astype(np.float32)
    scores = score * rng.random(count)
    found = learned(features, plain(scores)).predict(features)
    assert np.isfinite(found.mean).all()
    assert np.isfinite(found.std).all()
    assert found.mean.min() >= scores.min() - 0.2
    assert found.mean.max() <= scores.max() + 0.2
