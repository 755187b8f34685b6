from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.search.sample.clusters import (
    GainKnee,
    RatioKnee,
    grown,
    medoids,
    squared_distances,
    standardised,
)

SIZES = range(8, 65, 8)


def blobs(count: int, spread: float = 0.01, members: int = 6) -> npt.NDArray[np.float64]:
    """So many tight clusters in ten dimensions."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(count, 10)), members, axis=0)
    return centres + rng.normal(scale=spread, size=centres.shape)


@pytest.mark.parametrize("true", [8, 16, 24, 40])
def test_the_knee_is_where_the_data_has_its_clusters(true: int) -> None:
    points = blobs(true)
    found = grown(points, np.ones(len(points)), SIZES, GainKnee(0.04), 0)
    assert len(found.centres) == true


def test_the_papers_rule_keeps_the_size_before_the_one_that_failed() -> None:
    points = blobs(16)
    found = grown(points, np.ones(len(points)), SIZES, RatioKnee(2.5), 0)
    assert len(found.centres) == 16


@pytest.mark.parametrize(
    ("losses", "past"),
    [
        ([100], False),
        ([100, 90], False),
        ([100, 90, 40], True),
        ([100, 90, 35], False),
        ([100, 0, 0], True),
    ],
)
def test_ratio_knee(losses: list[float], past: bool) -> None:
    assert RatioKnee(2.5)(losses) == past


@pytest.mark.parametrize(
    ("losses", "past"),
    [([100], False), ([100, 99], False), ([100, 50, 45], False), ([100, 50, 47], True)],
)
def test_gain_knee(losses: list[float], past: bool) -> None:
    assert GainKnee(0.04)(losses) == past


def test_equal_points_are_one_cluster() -> None:
    found = grown(np.ones((20, 3)), np.ones(20), SIZES, GainKnee(), 0)
    assert len(found.centres) == 1


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 60),
    values=st.integers(1, 5),
    heavy=st.floats(1e-6, 1e6),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_points_have_a_clustering(count: int, values: int, heavy: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, values, (count, 3)).astype(np.float64)
    weights = np.where(np.arange(count) < 3, heavy, 1.0)
    found = grown(points, weights, [8, 16, 24], GainKnee(0.0), seed)
    clusters = len(found.centres)
    assert clusters <= len(np.unique(points, axis=0))
    assert set(found.labels.tolist()) == set(range(clusters))
    centres = medoids(points, found)
    assert np.array_equal(found.labels[centres], np.arange(clusters))


def test_a_medoid_is_the_member_nearest_to_the_centre() -> None:
    points = np.random.default_rng(0).normal(size=(80, 4))
    found = grown(points, np.ones(80), [8], GainKnee(), 0)
    for cluster, medoid in enumerate(medoids(points, found)):
        members = np.flatnonzero(found.labels == cluster)
        away = np.linalg.norm(points[members] - found.centres[cluster], axis=1)
        assert medoid == members[away.argmin()]


def test_centres_lean_towards_the_heavy() -> None:
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    found = grown(points, np.array([9.0, 1.0, 1.0, 9.0]), [2], GainKnee(), 0)
    assert sorted(found.centres.ravel()) == pytest.approx([0.1, 10.9])


def test_squared_distances_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    wanted = ((left[:, None] - right[None]) ** 2).sum(axis=2)
    assert squared_distances(left, right) == pytest.approx(wanted)


def test_standardised_features_have_unit_variance_unless_constant() -> None:
    features = np.column_stack([np.arange(10.0), np.full(10, 3.0)])
    found = standardised(features)
    assert found.mean(axis=0) == pytest.approx([0, 0])
    assert found.std(axis=0) == pytest.approx([1, 0])
