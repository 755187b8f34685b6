from __future__ import annotations

import pytest

from chameleon_tuner.search.explore.analytic import Core
from chameleon_tuner.search.sample.adaptive import AdaptiveSampler
from chameleon_tuner.search.sample.base import Sampler
from chameleon_tuner.search.sample.baselines import DiverseSampler, GreedySampler, TakeAllSampler
from chameleon_tuner.search.sample.clusters import RatioKnee
from chameleon_tuner.search.sample.opening import WithOpening
from chameleon_tuner.search.sample.portfolio import PortfolioSampler
from chameleon_tuner.search.sample.spread import Curiosity, SpreadSampler
from chameleon_tuner.testing.contracts.sampler import SamplerContract


class TestAdaptive(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return AdaptiveSampler()


class TestAdaptiveAsInThePaper(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return AdaptiveSampler(past_knee=RatioKnee(2.5))


class TestGreedy(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return GreedySampler()


class TestDiverse(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return DiverseSampler()


class TestSpread(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return SpreadSampler()


class TestSpreadAsInTheRecipe(SamplerContract):
    """But curious from the first trial that gains nothing."""

    @pytest.fixture
    def sampler(self) -> Sampler:
        return SpreadSampler(beta=2.0, of_each=0.125, curiosity=Curiosity(patience=1))


class TestSpreadAfterAnOpening(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return WithOpening(SpreadSampler(beta=2.0), Core(lanes=8, registers=16, threads=2))


class TestPortfolio(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return PortfolioSampler()


class TestTakeAll(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return TakeAllSampler()
