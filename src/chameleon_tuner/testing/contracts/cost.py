# ruff: noqa: D102 - the name of a test says what it checks
"""The contract of cost models; inherit it to test a cost model.

class TestMine(SurrogateContract):
    def make(self, space: DesignSpace) -> Surrogate:
        return MyModel(space)
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.testing.landscapes import Bowl, conv2d_space, measure, two_sketch_space

SPACES = {"conv2d": conv2d_space(), "two sketches": two_sketch_space()}


def a_history(space: DesignSpace, count: int, seed: int = 0) -> History:
    """Return a history of random configurations that were measured in a bowl landscape.

    Args:
        space: The design space.
        count: Number of configurations.
        seed: Seed of the landscape and of the configurations.

    Returns:
        The history.
    """
    rng = np.random.default_rng(seed)
    history = History(space)
    history.extend(measure(Bowl(space, space.sample(1, rng)[0]), space.sample(count, rng)))
    return history


def failed(outcome: Outcome) -> Outcome:
    """Return an outcome of the same configuration whose build failed."""
    return replace(outcome, status=Status.BUILD_ERROR, samples=(), message="made to fail")


def predictions(model: Surrogate, space: DesignSpace, count: int = 40) -> list[list[float]]:
    """Return the predictions of a model after a fixed history; another process can repeat them.

    Args:
        model: A model, which is fitted here.
        space: The design space.
        count: Number of configurations.

    Returns:
        The means and the standard deviations.
    """
    model.fit(a_history(space, 60))
    mean, std = model.predict(space.sample(count, np.random.default_rng(9)))
    return [mean.tolist(), std.tolist()]


class SurrogateContract:
    """The contract of every cost model; override `make`."""

    def make(self, space: DesignSpace) -> Surrogate:
        """Return a model of the space that is not fitted yet and can be pickled."""
        raise NotImplementedError

    @pytest.fixture(params=sorted(SPACES))
    def space(self, request: pytest.FixtureRequest) -> DesignSpace:
        """Return the design space of the test."""
        return SPACES[request.param]

    def check(
        self, model: Surrogate, space: DesignSpace, count: int = 30
    ) -> npt.NDArray[np.generic]:
        """Check the shapes and ranges of predictions for random rows, whatever was learned.

        Args:
            model: The model.
            space: The design space.
            count: Number of rows.

        Returns:
            The predicted means, (count,).
        """
        mean, std = model.predict(space.sample(count, np.random.default_rng(7)))
        for array in (mean, std):
            assert array.shape == (count,)
            assert array.dtype == np.float64
            assert np.isfinite(array).all()
        assert (std >= 0).all()
        return mean

    def test_before_the_first_fit_it_predicts_zeros(self, space: DesignSpace) -> None:
        model = self.make(space)
        assert not model.fitted
        mean, std = model.predict(space.sample(5, np.random.default_rng(0)))
        assert not mean.any()
        assert not std.any()

    def test_nothing_measured_is_nothing_learned(self, space: DesignSpace) -> None:
        model = self.make(space)
        model.fit(History(space))
        assert not model.fitted
        assert not self.check(model, space).any()

    def test_no_rows_give_no_predictions(self, space: DesignSpace) -> None:
        model = self.make(space)
        self.check(model, space, 0)
        model.fit(a_history(space, 20))
        self.check(model, space, 0)

    def test_it_learns_a_bowl(self, space: DesignSpace) -> None:
        model, history = self.make(space), a_history(space, 256)
        model.fit(history)
        assert model.fitted
        rng = np.random.default_rng(0)
        landscape = Bowl(space, space.sample(1, rng)[0])
        rows = space.sample(300, np.random.default_rng(1))
        assert rank_correlation(model.predict(rows).mean, landscape.score(rows)) > 0.7

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_few_records_are_enough(self, space: DesignSpace, count: int) -> None:
        model = self.make(space)
        model.fit(a_history(space, count))
        self.check(model, space)

    def test_constant_times(self, space: DesignSpace) -> None:
        history = History(space)
        outcomes = a_history(space, 30).outcomes
        history.extend([replace(outcome, samples=(1e-3,)) for outcome in outcomes])
        model = self.make(space)
        model.fit(history)
        assert np.allclose(self.check(model, space), 0.0, atol=1e-6)

    @pytest.mark.parametrize("fails", [30, 29, 15])
    def test_failures(self, space: DesignSpace, fails: int) -> None:
        outcomes = a_history(space, 30).outcomes
        history = History(space)
        history.extend([*map(failed, outcomes[:fails]), *outcomes[fails:]])
        model = self.make(space)
        model.fit(history)
        assert model.fitted == (fails < 30)
        self.check(model, space)

    def test_what_fails_scores_low(self, space: DesignSpace) -> None:
        """Check that the model prefers the working half of a space whose other half fails."""
        outcomes = a_history(space, 200).outcomes
        first = np.array([outcome.configuration.indices[-1] for outcome in outcomes])
        bad = first > np.median(first)
        history = History(space)
        history.extend([failed(o) if b else o for o, b in zip(outcomes, bad, strict=True)])
        model = self.make(space)
        model.fit(history)
        mean = np.asarray(model.predict(history.rows).mean)
        assert mean[bad].mean() < mean[~bad].mean()

    def test_a_fit_replaces_what_was_learned(self, space: DesignSpace) -> None:
        model, fresh = self.make(space), self.make(space)
        model.fit(a_history(space, 40, seed=3))
        assert predictions(model, space) == predictions(fresh, space)

    def test_the_same_in_another_process(self, space: DesignSpace) -> None:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            there = pool.submit(predictions, self.make(space), space).result()
        assert there == predictions(self.make(space), space)


def rank_correlation(left: npt.NDArray[np.floating], right: npt.NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation of two arrays (n,) with few ties."""
    ranks = [array.argsort(kind="stable").argsort(kind="stable") for array in (left, right)]
    return float(np.asarray(np.corrcoef(ranks))[0, 1])
