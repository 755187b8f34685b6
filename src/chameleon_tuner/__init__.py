"""Chameleon tunes deep networks for the machine they run on.

>>> import chameleon_tuner
>>> result = chameleon_tuner.tune("resnet18.onnx", out="tuned/", effort="quick")  # doctest: +SKIP
>>> result.latency_ms  # doctest: +SKIP
>>> session = chameleon_tuner.Session("tuned/")  # doctest: +SKIP
>>> [output] = session.run(None, {"input": image})  # doctest: +SKIP

It also finds the fastest parameters of anything that you time yourself:

>>> study = chameleon_tuner.Study({"block": [16, 32, 64], "unroll": [1, 2, 4]}, seed=0)
>>> for configuration in study.ask(4):
...     study.tell(configuration, 1.0 / configuration["block"])
>>> study.best.configuration["block"] in (16, 32, 64)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chameleon_tuner.app.database import ChameleonDatabase
    from chameleon_tuner.app.options import Options
    from chameleon_tuner.app.study import Study
    from chameleon_tuner.app.tune import tune
    from chameleon_tuner.backends.tvm.deploy.session import Session
    from chameleon_tuner.backends.tvm.strategy import ChameleonStrategy
    from chameleon_tuner.core.errors import ChameleonError
    from chameleon_tuner.report.result import Result
    from chameleon_tuner.search.recipes import Recipe

__all__ = [
    "ChameleonDatabase",
    "ChameleonError",
    "ChameleonStrategy",
    "Options",
    "Recipe",
    "Result",
    "Session",
    "Study",
    "tune",
]

_HOMES = {
    "ChameleonDatabase": "app.database",
    "ChameleonError": "core.errors",
    "ChameleonStrategy": "backends.tvm.strategy",
    "Options": "app.options",
    "Recipe": "search.recipes",
    "Result": "report.result",
    "Session": "backends.tvm.deploy.session",
    "Study": "app.study",
    "tune": "app.tune",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are used: `chameleon --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
