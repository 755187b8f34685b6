from __future__ import annotations

import pytest

from chameleon_tuner.sample.adaptive import AdaptiveSampler
from chameleon_tuner.sample.base import Sampler
from chameleon_tuner.sample.clusters import RatioKnee
from chameleon_tuner.sample.curiosity import Curiosity
from chameleon_tuner.sample.diverse import DiverseSampler
from chameleon_tuner.sample.greedy import GreedySampler
from chameleon_tuner.sample.spread import SpreadSampler
from chameleon_tuner.sample.take_all import TakeAllSampler
from chameleon_tuner.testing.sampler_contract import SamplerContract


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


class TestTakeAll(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return TakeAllSampler()
