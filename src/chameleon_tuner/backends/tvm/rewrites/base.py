"""What an algorithm implements, and what the rest of the backend asks of all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.graph import (
    Legalizer,
    fuse,
    is_kernel_call,
    key_of,
    normalized,
)
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.space.traces import TracedSpace, load_module
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space import DesignSpace

Array: TypeAlias = npt.NDArray[Any]

Transform: TypeAlias = Callable[[Array], Array]
"""Makes the weight that a kernel takes from the weight that the network has."""


@dataclass(frozen=True)
class Alternative:
    """A function that computes what a kernel of the network does.

    Attributes:
        function: The function; its attributes say which algorithm made it.
        label: Name of the algorithm's folder, and of its variant behind it: `NAME 4x4`.
    """

    function: Any
    label: str


Alternatives: TypeAlias = Mapping[str, Sequence[Alternative]]
"""Alternatives by key of the kernel that they compute."""


@dataclass(frozen=True)
class Rewrite:
    """The implementation of an algorithm; whatever it does not need is left out.

    An algorithm changes kernels for good (`merge`), adds tasks that compete with a kernel's own
    (`alternatives`), or both. Importing its module registers its schedule rules; see
    `space.rules.register`.

    Attributes:
        merge: Takes a lowered module, the target and the number of threads, and returns the module
            with other kernels in the place of some.
        alternatives: Takes a module from `lay_out`, the target, and what `fuse` made of it, and
            returns alternatives for its kernels.
        transforms: Takes a function and returns the transforms of its weights by the number of the
            argument; empty for a function that is not of this algorithm.
    """

    merge: Callable[[IRModule, Target, int], IRModule] | None = None
    alternatives: Callable[[IRModule, Target, IRModule], Alternatives] | None = None
    transforms: Callable[[Any], Mapping[int, Transform]] | None = None


def loaded(without: Collection[str] = ()) -> Iterator[Rewrite]:
    """Yield the implementations of all algorithms but some, which are given by name.

    Raises:
        UsageError: There is no algorithm of a name.
    """
    unknown = set(without) - set(registered())
    if unknown:
        raise UsageError(f"unknown algorithm {min(unknown)!r}; known: {', '.join(registered())}")
    for name, algorithm in registered().items():
        if name not in without:
            yield algorithm.load()


def transforms_of(function: Any) -> Mapping[int, Transform]:
    """Return the transforms of a function's weights, by the number of the argument."""
    found: dict[int, Transform] = {}
    for rewrite in loaded():
        if rewrite.transforms is not None:
            found.update(rewrite.transforms(function))
    return found


def transformed(function: Any, arguments: Sequence[Array]) -> list[Array]:
    """Return arguments of a kernel of the network as an alternative for it takes them."""
    result = list(arguments)
    for number, transform in transforms_of(function).items():
        result[number] = transform(result[number])
    return result


def traced_space(
    module: str, target: Mapping[str, Any], design: DesignSpace | None = None
) -> TracedSpace:
    """Return the space of a task that is known by its JSON.

    Args:
        module: See `Task.module`.
        target: See `Task.target`.
        design: The design space, where it is known.

    Returns:
        The space, made by the schedule rules of all algorithms.
    """
    list(loaded())  # registers their schedule rules
    return TracedSpace(load_module(module), Target(dict(target)), design)


# -- alternatives by other legalizers


def fused_otherwise(
    module: IRModule, target: Target, lowered: IRModule, legalizers: Mapping[str, Legalizer]
) -> list[tuple[Any, Any]]:
    """Fuse a module once more with other legalizers, and pair the kernels.

    Args:
        module: From `lay_out`.
        target: The target.
        lowered: What `fuse` made of the module.
        legalizers: Legalizers of some operators.

    Returns:
        Pairs of a kernel and its counterpart, each kernel once; none where the operators were fused
        differently.
    """
    other = fuse(module, target, legalizers)
    mine, theirs = _called(lowered), _called(other)
    if len(mine) != len(theirs):
        return []
    pairs = dict(zip(mine, theirs, strict=True))
    return [(lowered[name], other[their_name]) for name, their_name in pairs.items()]


def by_kernel(pairs: Sequence[tuple[Any, Alternative]]) -> dict[str, list[Alternative]]:
    """Return alternatives by the key of the kernel that each is paired with, one a kernel."""
    return {key_of(normalized(function)): [other] for function, other in pairs}


def joined(parts: Sequence[Alternatives]) -> Alternatives:
    """Return all alternatives of several mappings, in their order."""
    found: dict[str, list[Alternative]] = {}
    for part in parts:
        for key, alternatives in part.items():
            found.setdefault(key, []).extend(alternatives)
    return found


def _called(lowered: IRModule) -> list[str]:
    """Return the names of the kernels that `main` calls, in order."""
    return [
        str(binding.value.args[0].name_hint)
        for block in lowered["main"].body.blocks
        for binding in block.bindings
        if is_kernel_call(binding.value)
    ]
