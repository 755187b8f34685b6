"""Chameleon tunes deep networks for the machine they run on.

>>> import chameleon_tuner
>>> result = chameleon_tuner.tune("resnet18.onnx", out="tuned/", effort="quick")  # doctest: +SKIP
>>> result.latency_ms  # doctest: +SKIP
"""

from chameleon_tuner.errors import ChameleonError
from chameleon_tuner.recipes import Recipe
from chameleon_tuner.result import Result
from chameleon_tuner.tune import Options, tune

__all__ = ["ChameleonError", "Options", "Recipe", "Result", "tune"]
