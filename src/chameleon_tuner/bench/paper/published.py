"""The numbers that the Chameleon paper reports, for comparison with ours.

Ahn, Pilligundla, Yazdanbakhsh, Esmaeilzadeh: Chameleon, ICLR 2020, arXiv 2001.08743. They were
measured on a Titan Xp, so only ratios are comparable with those of another machine.
"""

from __future__ import annotations

from typing import NamedTuple

ANNEALING_GREEDY = "annealing+greedy"
ANNEALING_ADAPTIVE = "annealing+adaptive"
PPO_GREEDY = "ppo+greedy"
PPO_ADAPTIVE = "ppo+adaptive"
CELLS = (ANNEALING_GREEDY, PPO_GREEDY, ANNEALING_ADAPTIVE, PPO_ADAPTIVE)
"""The pairs of explorer and sampler in the paper's 2x2 evaluation.

In this order they are AutoTVM, adaptive exploration alone (AE), adaptive sampling alone (AS), and
Chameleon."""


class Published(NamedTuple):
    """A cell of the paper's tables.

    Attributes:
        hours: Optimization time of the network in hours.
        inference_ms: Inference time of the tuned network in milliseconds.
    """

    hours: float
    inference_ms: float


_TABLES = {
    "alexnet": ((4.31, 1.0277), (4.06, 1.0207), (1.25, 0.9762), (1.20, 0.9673)),
    "vgg16": ((11.18, 3.9829), (8.82, 3.9710), (2.57, 3.8733), (1.95, 3.8458)),
    "resnet18": ((9.13, 1.0258), (7.39, 0.9897), (2.14, 0.9897), (2.13, 0.9831)),
}
"""Rows of the paper's tables: (hours, inference_ms) in the order of `CELLS`."""

NETWORKS = {
    network: {cell: Published(*numbers) for cell, numbers in zip(CELLS, row, strict=True)}
    for network, row in _TABLES.items()
}
"""The paper's tables of end-to-end optimization time and inference time, by network and cell."""

TASKS = {"alexnet": 5, "vgg16": 9, "resnet18": 12}
"""The number of distinct convolutions of each network."""

AE_FEWER_STEPS = 2.88
"""How many times fewer steps AE needs than annealing, geomean over eight layers."""

AE_FEWER_STEPS_RANGE = (1.63, 3.85)
"""The smallest and the largest factor among these eight layers."""

AS_FEWER_MEASUREMENTS_ON_ANNEALING = 1.98
"""How many times fewer measurements AS needs than greedy sampling, both with annealing."""

AS_FEWER_MEASUREMENTS_ON_PPO = 2.33
"""How many times fewer measurements AS needs than greedy sampling, both with PPO."""

SPEEDUP = {PPO_GREEDY: 1.18, ANNEALING_ADAPTIVE: 4.00, PPO_ADAPTIVE: 4.45}
"""How many times shorter the optimization time is than AutoTVM's, geomean over the networks."""

INFERENCE_GAIN_ABSTRACT = 1.056
"""Speedup of inference over AutoTVM according to the paper's abstract (5.6%)."""

INFERENCE_GAIN_TABLE = 1.047
"""The same speedup as geomean over the paper's table of inference times (4.7%)."""

AE_THROUGHPUT = 0.987
"""Final throughput of AE relative to annealing's.

It is the geomean over the curves of 26 layers, whose values we decoded from the paper's plots."""

AS_THROUGHPUT = 1.16
"""The same ratio for adaptive sampling, with either explorer."""
