from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from chameleon_tuner.search.cost.boosted import BoostingOptions
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.testing.contracts.cost import rank_correlation

Recording = tuple[DesignSpace, IntArray, npt.NDArray[np.float64]]
HistoryOf = Callable[[DesignSpace, IntArray, npt.NDArray[np.float64]], History]


def held_out(nchw: Recording, history_of: HistoryOf, count: int) -> npt.NDArray[np.float64]:
    """Of 4 random splits: rank correlations of the score, and of |error| with the deviation."""
    space, rows, seconds = nchw
    results = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(rows))
        known, rest = order[:count], order[count:]
        model = TreeSurrogate(space)
        model.fit(history_of(space, rows[known], seconds[known]))
        mean, std = model.predict(rows[rest])
        truth = np.log(seconds[known].min() / seconds[rest])
        error = np.abs(mean - truth)
        results.append((rank_correlation(mean, truth), rank_correlation(error, std)))
    return np.mean(results, axis=0)


def test_it_ranks_recorded_convolutions(nchw: Recording, history_of: HistoryOf) -> None:
    """Bars 0.05 below what `benchmarks/cost_model.py` measures."""
    few, more = held_out(nchw, history_of, 64), held_out(nchw, history_of, 256)
    assert few[0] > 0.58
    assert more[0] > 0.71


def test_it_knows_where_it_errs(nchw: Recording, history_of: HistoryOf) -> None:
    assert held_out(nchw, history_of, 256)[1] > 0.15


def test_a_refit_to_a_thousand_records_takes_well_under_a_second(
    nchw: Recording, history_of: HistoryOf
) -> None:
    space, rows, seconds = nchw
    history = history_of(space, np.tile(rows, (2, 1))[:1000], np.tile(seconds, 2)[:1000])
    model = TreeSurrogate(space)
    start = time.process_time()
    model.fit(history)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(("grown", "renewed"), [(19, False), (20, True)])
def test_a_task_that_hardly_grew_is_not_fitted_again(
    nchw: Recording, history_of: HistoryOf, grown: int, renewed: bool
) -> None:
    space, rows, seconds = nchw
    history = history_of(space, rows[:400], seconds[:400])
    model = TreeSurrogate(space)
    model.fit(history)
    before = model.predict(rows[420:450]).mean
    end = 400 + grown
    history.extend(history_of(space, rows[400:end], seconds[400:end]).outcomes)
    model.fit(history)
    assert (model.predict(rows[420:450]).mean != before).any() == renewed


def test_the_same_fits_give_the_same_model(nchw: Recording, history_of: HistoryOf) -> None:
    """A run that goes on repeats them from the start, and proposes the same."""
    space, rows, seconds = nchw
    models = [TreeSurrogate(space), TreeSurrogate(space)]
    for model in models:
        history = History(space)
        for first in range(0, 432, 16):
            some = slice(first, first + 16)
            history.extend(history_of(space, rows[some], seconds[some]).outcomes)
            model.fit(history)
    means = [model.predict(rows[432:]).mean for model in models]
    assert (means[0] == means[1]).all()


def test_options_and_seed_change_the_model(nchw: Recording, history_of: HistoryOf) -> None:
    space, rows, seconds = nchw
    history = history_of(space, rows[:50], seconds[:50])
    models = [
        TreeSurrogate(space),
        TreeSurrogate(space, seed=1),
        TreeSurrogate(space, boosting=BoostingOptions(rounds=3)),
    ]
    for model in models:
        model.fit(history)
    means = [model.predict(rows[50:60]).mean for model in models]
    assert not np.allclose(means[0], means[1])
    assert not np.allclose(means[0], means[2])
