"""Depthwise separable convolutions as one kernel.

A depthwise convolution and the pointwise one that follows it, and the one that precedes it where it
widens the image (an inverted residual, Sandler et al., arXiv 1801.04381), do little work with much
data: of MobileNet-V2's second block the widened image has 4.8 MB. As one kernel, some rows at a
time, what is between them stays in a core's cache.
"""
