"""3x3 convolutions by Winograd's minimal filtering.

F(m x m, 3 x 3) computes m x m outputs from (m + 2) x (m + 2) inputs with (m + 2)^2 multiplications
for every pair of an input and an output channel. A direct convolution needs 9 m^2 multiplications:
2.25 times as many for m = 2, and 4 times as many for m = 4. See Lavin and Gray, arXiv 1509.09308.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chameleon_tuner.backends.tvm.rewrites import Algorithm

if TYPE_CHECKING:
    from chameleon_tuner.backends.tvm.rewrites.base import Rewrite


def _load() -> Rewrite:
    from chameleon_tuner.backends.tvm.rewrites.winograd.rewrite import REWRITE

    return REWRITE


ALGORITHM = Algorithm(
    "winograd",
    "Whether 3x3 convolutions may be computed by Winograd's filtering where it is faster; "
    "it rounds otherwise, by 1e-5 of the largest output.",
    _load,
)
