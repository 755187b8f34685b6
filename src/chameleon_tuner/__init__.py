"""Chameleon tunes deep networks for the machine they run on.

>>> import chameleon_tuner
>>> result = chameleon_tuner.tune("resnet18.onnx", out="tuned/", effort="quick")  # doctest: +SKIP
>>> result.latency_ms  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chameleon_tuner.errors import ChameleonError
    from chameleon_tuner.recipes import Recipe
    from chameleon_tuner.result import Result
    from chameleon_tuner.tuner import Options, tune

__all__ = ["ChameleonError", "Options", "Recipe", "Result", "tune"]

_HOMES = {
    "ChameleonError": "errors",
    "Options": "tuner",
    "Recipe": "recipes",
    "Result": "result",
    "tune": "tuner",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are used: `chameleon --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
