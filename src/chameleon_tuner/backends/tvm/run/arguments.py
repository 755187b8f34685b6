"""Arguments of kernels: random inputs of a task, and weights in the layouts of candidates."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, tirx
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.kernel import Shape, device_of, lean_lowering, shape_bytes

_MOST_TURNS = 64
"""Maximum number of sets of weights that runs use in turn. Weights that need more sets to be cold
are small."""

_PREPROC = "meta_schedule.layout_rewrite_preproc"
"""Annotation of a block that copies a weight into its new layout."""


def relaid(scheduled: IRModule, arguments: Sequence[npt.NDArray[Any]], target: Target) -> list[Any]:
    """Convert arguments in the task's layout to the arguments of a candidate.

    Only the copying of the weights is compiled, in a tenth of the time that the whole candidate
    takes.

    Args:
        scheduled: The candidate's module, from which the copying of weights is not yet removed.
        arguments: Arrays in the task's layout.
        target: The target of the candidate.

    Returns:
        One tensor per argument.
    """
    device, tensors = device_of(target), tensors_of(arguments, target)
    copies = {f"copy{number}": (number, copy) for number, copy in _copies(scheduled)}
    if not copies:
        return tensors
    functions = {name: copy.with_attr("global_symbol", name) for name, (_, copy) in copies.items()}
    with lean_lowering(target, checked=False):
        compiled = tvm.compile(IRModule(functions), target=target)
    for name, (number, copy) in copies.items():
        new = copy.params[1]
        shape = [int(extent) for extent in new.shape]
        mine = tvm.runtime.empty(shape, str(new.dtype), device)
        compiled[name](tensors[number], mine)
        tensors[number] = mine
    device.sync()
    return tensors


def _copies(scheduled: IRModule) -> Iterator[tuple[int, Any]]:
    """Yield the number of each re-laid-out argument, and a function that copies it."""
    schedule, parameters = s_tir.Schedule(scheduled), scheduled["main"].params
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        copy = schedule.get(block)
        if _PREPROC not in copy.annotations:
            continue
        old, new = copy.reads[0].source, copy.writes[0].source
        number = next(n for n, mine in enumerate(parameters) if mine.same_as(old))
        loop = schedule.get(schedule.get_loops(block)[0])
        root = s_tir.SBlockRealize([], True, s_tir.SBlock([], [], [], "root", loop))
        yield number, tirx.PrimFunc([old, new], root)


class Arguments:
    """Random inputs of one task; weights in a candidate's layout are views of the same memory.

    Args:
        shapes: Shapes and dtypes of the task's arguments.
        device: The device that holds them.
        weights: Numbers of the arguments that are weights, of which each call in a network has its
            own.
        seed: Seed of the values.
    """

    def __init__(
        self, shapes: Sequence[Shape], device: Any, weights: Sequence[int] = (), seed: int = 0
    ) -> None:
        self._device, self._rng = device, np.random.default_rng(seed)
        self._weights = tuple(weights)
        self._flat = [self._random(shape, dtype) for shape, dtype in shapes]
        self._copies: dict[int, list[Any]] = {number: [] for number in self._weights}

    def views(self, shapes: Sequence[Shape]) -> list[Any]:
        """Return one tensor for each of a candidate's arguments.

        A layout may add padding, for which there is more memory then: a bias of 1000 values was
        laid out as 16x64.

        Args:
            shapes: Shapes and dtypes of the candidate's arguments.
        """
        for number, (shape, dtype) in enumerate(shapes):
            if math.prod(shape) > math.prod(self._flat[number].shape):
                self._flat[number] = self._random(shape, dtype)
                self._copies[number] = []
        return [
            flat._create_view(shape) for flat, (shape, _) in zip(self._flat, shapes, strict=True)
        ]

    def turns(self, shapes: Sequence[Shape], apart_bytes: int) -> list[list[Any]]:
        """Return sets of arguments that runs use in turn; they share everything but the weights.

        Args:
            shapes: Shapes and dtypes of a candidate's arguments.
            apart_bytes: Bytes of weights that are read before a run uses the same weights again;
                with 0 there is one set.
        """
        first = self.views(shapes)
        own_bytes = sum(shape_bytes(shapes[number]) for number in self._weights)
        count = math.ceil(apart_bytes / own_bytes) if own_bytes else 1
        sets = [first]
        for turn in range(1, min(count, _MOST_TURNS)):
            mine = list(first)
            for number in self._weights:
                mine[number] = self._copy(number, turn)._create_view(shapes[number][0])
            sets.append(mine)
        # In random order, or every candidate would begin with the weights that the candidate before
        # it has left in the caches.
        return [sets[turn] for turn in self._rng.permutation(len(sets))]

    def _copy(self, number: int, turn: int) -> Any:
        copies, original = self._copies[number], self._flat[number]
        while len(copies) < turn:
            copies.append(tvm.runtime.empty(original.shape, original.dtype, self._device))
            original.copyto(copies[-1])
        return copies[turn - 1]

    def _random(self, shape: tuple[int, ...], dtype: str) -> Any:
        host = random_array((math.prod(shape),), dtype, self._rng)
        return tvm.runtime.tensor(host, device=self._device)


def random_array(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Any:
    """Return a random array, uniform in [-1, 1); 0 or 1 for booleans and 8-bit integers.

    Wider integers are zeros: most are indices, and an index that is out of range would crash.

    Args:
        shape: Shape of the array.
        dtype: Name of its dtype.
        rng: Source of the values.

    Returns:
        The array.
    """
    if dtype.startswith(("float", "bfloat")):
        return (rng.random(shape, dtype=np.float32) * 2 - 1).astype(dtype)
    if dtype in ("bool", "int8", "uint8"):
        return rng.integers(0, 2, shape).astype(dtype)
    return np.zeros(shape, dtype)


def tensors_of(arrays: Sequence[npt.NDArray[Any]], target: Target) -> list[Any]:
    """Copy arrays to the device of a target."""
    device = device_of(target)
    return [tvm.runtime.tensor(array, device=device) for array in arrays]


def seed_of(text: str) -> int:
    """Return a seed for a text, the same in every process."""
    return zlib.crc32(text.encode())
