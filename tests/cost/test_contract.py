from __future__ import annotations

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.cost.surrogate import TreeSurrogate
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.testing.cost_contract import SurrogateContract


class TestTreeSurrogate(SurrogateContract):
    def make(self, space: DesignSpace) -> Surrogate:
        return TreeSurrogate(space)
