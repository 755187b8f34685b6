from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.explore.base import Explorer
from chameleon_tuner.search.explore.composed import MixedExplorer, WithTwins
from chameleon_tuner.search.explore.evolutionary import (
    ElitesExplorer,
    EvolutionaryExplorer,
    EvolutionConfig,
)
from chameleon_tuner.search.explore.local import AnnealingConfig, AnnealingExplorer, DescentExplorer
from chameleon_tuner.search.explore.pool import RandomExplorer
from chameleon_tuner.search.explore.ppo import PAPER, TUNED, PPOExplorer
from chameleon_tuner.testing.contracts.explorer import ExplorerContract, Factory


def mixture() -> Explorer:
    return MixedExplorer([DescentExplorer(), EvolutionaryExplorer(), RandomExplorer(64)])


def without_twins() -> Explorer:
    return WithTwins(EvolutionaryExplorer(), SharedRecords())


class TestRandom(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return RandomExplorer


class TestAnnealing(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return partial(AnnealingExplorer, AnnealingConfig(iterations=20))


class TestEvolutionary(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return EvolutionaryExplorer


class TestIslands(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return partial(EvolutionaryExplorer, EvolutionConfig(islands=True))


class TestDescent(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return DescentExplorer


class TestElites(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return ElitesExplorer


class TestMixed(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return mixture


class TestWithTwins(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return without_twins


class TestPaperPPO(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return partial(PPOExplorer, replace(PAPER, max_steps=2))


class TestTunedPPO(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return partial(PPOExplorer, replace(TUNED, episodes=2, max_steps=3))
