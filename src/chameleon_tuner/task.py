"""A tuning task: one kernel of a network, with its design space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chameleon_tuner.space import DesignSpace


@dataclass(frozen=True)
class Task:
    """One distinct kernel of a network. Plain data: nothing here needs TVM.

    Attributes:
        name: as the compiler named it, made unique within the network.
        key: structural hash of its module; the same kernel has the same key in every network.
        module: TVM's JSON of the module, one PrimFunc named `main`.
        target: TVM's JSON of the target.
        space: its design space.
        weight: how often the network calls it.
        flops: floating-point operations of one call.
        arguments: shapes and dtypes of its arguments, for people: `"1x56x56x64 float32"`.
    """

    name: str
    key: str
    module: str = field(repr=False)
    target: Mapping[str, Any] = field(repr=False)
    space: DesignSpace = field(repr=False)
    weight: int = 1
    flops: float = 0.0
    arguments: tuple[str, ...] = ()
