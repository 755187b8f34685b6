"""What the Chameleon paper reports, to hold our figures against.

Ahn, Pilligundla, Yazdanbakhsh, Esmaeilzadeh: Chameleon, ICLR 2020, arXiv 2001.08743; measured on
a Titan Xp. Only ratios can be compared with another machine's.
"""

from __future__ import annotations

from typing import NamedTuple

ANNEALING_GREEDY = "annealing+greedy"
ANNEALING_ADAPTIVE = "annealing+adaptive"
PPO_GREEDY = "ppo+greedy"
PPO_ADAPTIVE = "ppo+adaptive"
CELLS = (ANNEALING_GREEDY, PPO_GREEDY, ANNEALING_ADAPTIVE, PPO_ADAPTIVE)
"""Explorer and sampler: AutoTVM, adaptive exploration (AE), adaptive sampling (AS), Chameleon."""


class Published(NamedTuple):
    """A cell of the paper's tables.

    Attributes:
        hours: of tuning the network.
        inference_ms: of the tuned network.
    """

    hours: float
    inference_ms: float


_TABLES = {
    "alexnet": ((4.31, 1.0277), (4.06, 1.0207), (1.25, 0.9762), (1.20, 0.9673)),
    "vgg16": ((11.18, 3.9829), (8.82, 3.9710), (2.57, 3.8733), (1.95, 3.8458)),
    "resnet18": ((9.13, 1.0258), (7.39, 0.9897), (2.14, 0.9897), (2.13, 0.9831)),
}
NETWORKS = {
    network: {cell: Published(*numbers) for cell, numbers in zip(CELLS, row, strict=True)}
    for network, row in _TABLES.items()
}
"""Tables of end-to-end optimization time and inference time."""

TASKS = {"alexnet": 5, "vgg16": 9, "resnet18": 12}
"""Distinct convolutions of each network."""

AE_FEWER_STEPS = 2.88
"""Geomean over eight layers, which range from 1.63 to 3.85."""
AE_FEWER_STEPS_RANGE = (1.63, 3.85)

AS_FEWER_MEASUREMENTS_ON_ANNEALING = 1.98
AS_FEWER_MEASUREMENTS_ON_PPO = 2.33

SPEEDUP = {PPO_GREEDY: 1.18, ANNEALING_ADAPTIVE: 4.00, PPO_ADAPTIVE: 4.45}
"""Of optimization time over AutoTVM's, geomean over the networks."""

INFERENCE_GAIN_ABSTRACT = 1.056
"""The abstract says 5.6% faster inference ..."""
INFERENCE_GAIN_TABLE = 1.047
"""... and the table's own geomean is 4.7%."""

AE_THROUGHPUT = 0.987
"""Of annealing's final throughput; geomean over the curves of 26 layers, as we decoded them."""
AS_THROUGHPUT = 1.16
"""The same with adaptive sampling, under either explorer."""
