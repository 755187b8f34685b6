"""The inputs and outputs of a model: their specifications, and arrays that fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.errors import ModelError, hint

_MASK = 1
"""What integers are of which the graph tells nothing: most are masks, and ones hide nothing."""


@dataclass(frozen=True)
class TensorSpec:
    """The name, shape and dtype of an input or output.

    Attributes:
        name: Its name in the user's model.
        shape: Its extents; None for one that depends on the data.
        dtype: Its dtype, by NumPy's name.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def static(self) -> tuple[int, ...] | None:
        """The extents; None if some depend on the data."""
        known = tuple(extent for extent in self.shape if extent is not None)
        return known if len(known) == len(self.shape) else None


@dataclass(frozen=True)
class Range:
    """The integers that an input may have, with both ends."""

    low: int
    high: int


def trial_inputs(
    specs: Sequence[TensorSpec], ranges: Mapping[str, Range], seed: int
) -> dict[str, npt.NDArray[Any]]:
    """Return inputs to try a model on.

    Args:
        specs: The inputs.
        ranges: Ranges of integers, by name.
        seed: Seed of the values.

    Returns:
        Arrays by name: standard normal numbers, integers of their ranges or ones, and true.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _drawn(spec, ranges.get(spec.name), rng) for spec in specs}


def _drawn(spec: TensorSpec, within: Range | None, rng: np.random.Generator) -> npt.NDArray[Any]:
    shape, dtype = spec.static or (), spec.dtype
    if dtype.startswith(("float", "bfloat")):
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    if within is None:
        return np.full(shape, _MASK, dtype)
    held = np.iinfo(dtype)
    low, high = max(within.low, held.min), min(within.high, held.max)
    return np.asarray(rng.integers(low, max(low, high), shape, endpoint=True)).astype(dtype)


def fitting(specs: Sequence[TensorSpec], samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return a user's samples as the model takes them.

    Args:
        specs: The inputs.
        samples: Arrays by name.

    Returns:
        The arrays in the inputs' dtypes.

    Raises:
        ModelError: A name is unknown, or a shape or dtype differs.
    """
    known = {spec.name: spec for spec in specs}
    found = {}
    for name, sample in samples.items():
        if name not in known:
            raise ModelError(
                f"--inputs: the model has no input {name!r}; {hint(name, known)}it has {[*known]}"
            )
        spec, array = known[name], np.asarray(sample)
        if array.shape != spec.shape:
            raise ModelError(f"--inputs: {name!r} has shape {array.shape}, not {spec.shape}")
        if array.dtype != spec.dtype and not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise ModelError(f"--inputs: {name!r} has dtype {array.dtype}, not {spec.dtype}")
        found[name] = np.asarray(array, spec.dtype, order="C")
    return found
