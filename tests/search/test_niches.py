from __future__ import annotations

import numpy as np

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.explore.evolutionary import ElitesExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.search.niches import DECIDING, explained, niches
from chameleon_tuner.testing.landscapes import Bowl, Oracle, constrained_space, measure, tiny_space

SPACE = constrained_space()


def history_of(seed: int = 0) -> History:
    """A history in which the knobs 0 and 3 alone decide."""
    history = History(SPACE)
    rows = SPACE.unique(SPACE.sample(150, np.random.default_rng(seed)))
    for one, row in zip(SPACE.configurations(rows), rows.tolist(), strict=True):
        secs = 1e-3 * (1 + row[1]) * (1 + 4 * row[4])
        history.extend([Outcome(one, one, "", Status.OK, (secs,))])
    return history


def test_the_knobs_that_decide_explain_the_times() -> None:
    shares = explained(history_of())
    assert set(np.argsort(-shares)[:2]) == {0, 3}
    assert shares[[0, 3]].sum() > 0.7
    assert (shares >= 0).all()
    assert (shares <= 1).all()


def test_niches_are_the_values_of_the_deciding_knobs() -> None:
    history = history_of()
    rows = SPACE.sample(500, np.random.default_rng(1))
    found = niches(history, rows)
    deciding = np.sort(np.argsort(-explained(history), kind="stable")[:DECIDING]) + 1
    values = [tuple(row) for row in rows[:, deciding].tolist()]
    assert len(set(zip(found.tolist(), values, strict=True))) == len(set(values))
    assert len(set(found.tolist())) == len(set(values))


def test_nothing_measured_is_no_obstacle() -> None:
    rows = SPACE.sample(20, np.random.default_rng(0))
    assert len(niches(History(SPACE), rows)) == 20
    assert not explained(History(SPACE)).any()


def test_tiled_spaces_have_micro_kernels() -> None:
    space = tiny_space()
    rows = space.sample(20, np.random.default_rng(0))
    assert niches(History(space), rows).tolist() == space.micro_kernels(rows).tolist()


def test_elites_are_of_many_niches() -> None:
    history = history_of()
    landscape = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(2))[0])
    part = ElitesExplorer().propose(SPACE, Oracle(landscape), history, np.random.default_rng(0))
    found = niches(history, part.rows)
    best = np.argsort(-landscape.score(part.rows), kind="stable")
    assert len(np.unique(found)) > 30
    drawn = measure(landscape, part.rows[best[:1]])
    assert drawn[0].seconds == min(o.seconds for o in measure(landscape, part.rows))
