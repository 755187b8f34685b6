"""A bagged ensemble of gradient-boosted trees: XGBoost's, as the outputs of one booster.

An explorer asks for predictions hundreds of times a round, and there it counts: with as many
trees, 512 predictions take 1.5 ms with XGBoost and 5.8 ms with LightGBM, a fit to 180 records 40
and 53 ms; the rank correlation on held-out convolutions is the same within 0.01
(`benchmarks/cost_model.py`, one thread).
"""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import Prediction
from chameleon_tuner.cost.target import Targets
from chameleon_tuner.interrupts import held_back

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BoostingOptions:
    """The size of the ensemble; see `benchmarks/cost_model.py` for the comparison."""

    members: int = 8
    """Boosted models, each on its own share of the records; their spread is the uncertainty."""
    rounds: int = 30
    """Trees of a member."""
    shrinkage: float = 0.15
    """Learning rate; with few rounds it has to be high."""
    depth: int = 5
    """Of a tree, at most."""
    share: float = 0.7
    """Of the records, for each member, without replacement."""
    feature_share: float = 0.5
    """Of the features, drawn anew at every node: the members differ more, and err less together."""
    bins: int = 64
    """Thresholds a feature."""


@dataclass(frozen=True)
class Ensemble:
    """A fitted ensemble.

    Attributes:
        booster: one output a member.
        members: how many.
        mean: weighted mean of the scores it learned from; its outputs are differences from it.
    """

    booster: Any
    members: int
    mean: float

    def to_bytes(self) -> bytes:
        """The trees in XGBoost's own format (UBJSON)."""
        return bytes(self.booster.save_raw("ubj"))

    @staticmethod
    def from_bytes(trees: bytes, members: int, mean: float) -> Ensemble:
        """Inverse of `to_bytes`."""
        booster = _xgboost().Booster({"nthread": 1})
        booster.load_model(bytearray(trees))
        return Ensemble(booster, members, mean)

    def predict(self, features: Float32) -> Prediction:
        """Mean and standard deviation of the members on rows (n, d): (n,) both."""
        each = np.asarray(self.booster.inplace_predict(features), dtype=np.float64)
        each = each.reshape(len(features), self.members)
        return Prediction(self.mean + each.mean(axis=1), each.std(axis=1))


def fit(
    features: Float32, targets: Targets, options: BoostingOptions, rng: np.random.Generator
) -> Ensemble:
    """Boost all members on features (n, d), n at least 1; the loss is weighted squared error."""
    xgboost = _xgboost()
    count, members = len(features), options.members
    weights = _bag(count, options, rng) * targets.weights[:, None]
    mean = float(np.average(targets.scores, weights=targets.weights))
    wanted = np.repeat(targets.scores[:, None] - mean, members, axis=1)

    def gradient(guess: Any, _: Any) -> tuple[Any, Any]:
        return weights * (np.reshape(guess, wanted.shape) - wanted), weights

    parameters = {
        "eta": options.shrinkage,
        "max_depth": options.depth,
        "colsample_bynode": options.feature_share,
        "tree_method": "hist",
        "max_bin": options.bins,
        "base_score": 0.0,
        "nthread": 1,  # the sums do not depend on the machine's number of cores
        "seed": int(rng.integers(2**31)),
    }
    # The loss has its own targets; these say how many outputs there are. XGBoost copies what is
    # float32, and converts all else on every core: beside other work that took a third of a fit.
    labels = np.zeros(wanted.shape, dtype=np.float32)
    with held_back():  # the matrix takes its data by callbacks
        data = xgboost.QuantileDMatrix(features, labels, nthread=1, max_bin=options.bins)
    booster = xgboost.train(parameters, data, options.rounds, obj=gradient)
    return Ensemble(booster, members, mean)


@functools.cache
def _xgboost() -> Any:
    """XGBoost, imported without scikit-learn, whose classes it would wrap: 0.2 s instead of 0.9.

    Not before it is needed: it loads SciPy.
    """
    hidden = "sklearn" not in sys.modules
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # makes the import fail
    try:
        return importlib.import_module("xgboost")
    finally:
        if hidden:
            del sys.modules["sklearn"]


def _bag(count: int, options: BoostingOptions, rng: np.random.Generator) -> Any:
    """Which records each member sees: (n, members) of 0 and 1."""
    ranks = rng.random((count, options.members)).argsort(axis=0).argsort(axis=0)
    return (ranks < max(1, round(options.share * count))).astype(np.float64)
