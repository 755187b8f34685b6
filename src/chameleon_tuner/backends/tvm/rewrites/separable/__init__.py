"""Depthwise separable convolutions as one kernel.

The rewrite merges a depthwise convolution with the pointwise one that follows it. It may also merge
the pointwise convolution before it, which adds channels (widens the image) in an inverted residual
(Sandler et al., arXiv 1801.04381). These convolutions have a low arithmetic intensity: the widened
image in MobileNet-V2's second block has 4.8 MB. One kernel computes some rows at a time, so that
the images between the convolutions stay in a core's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chameleon_tuner.backends.tvm.rewrites import Algorithm

if TYPE_CHECKING:
    from chameleon_tuner.backends.tvm.rewrites.base import Rewrite


def _load() -> Rewrite:
    from chameleon_tuner.backends.tvm.rewrites.separable.merge import REWRITE

    return REWRITE


ALGORITHM = Algorithm(
    "separable",
    "Whether depthwise convolutions and what is around them may be one kernel.",
    _load,
)
