from __future__ import annotations

from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.testing.contracts.cost import SurrogateContract


class TestTreeSurrogate(SurrogateContract):
    def make(self, space: DesignSpace) -> Surrogate:
        return TreeSurrogate(space)
