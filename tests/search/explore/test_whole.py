from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.search.explore.evolutionary import EvolutionaryExplorer
from chameleon_tuner.search.explore.whole import MOST, WholeExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.testing.contracts.explorer import ExplorerContract, Factory
from chameleon_tuner.testing.landscapes import Bowl, Oracle, constrained_space, measure

SPACE = constrained_space()
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])


def whole() -> WholeExplorer:
    return WholeExplorer(EvolutionaryExplorer())


class TestWhole(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return whole


def test_everything_that_is_left_is_proposed() -> None:
    assert SPACE.count <= MOST
    history = History(SPACE)
    history.extend(measure(BOWL, SPACE.sample(50, np.random.default_rng(0))))
    part = whole().propose(SPACE, Oracle(BOWL), history, np.random.default_rng(0))
    assert len(part) == SPACE.count - len(history)
    assert not history.visited(part.rows).any()
