"""Targets: this machine's CPU with its actual instruction set, its GPU, or any other TVM target."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from typing import Any

import tvm
from tvm.target import Target, codegen

from chameleon_tuner.backends.tvm.features import VECTOR_PREFIXES, host_features
from chameleon_tuner.core.errors import TargetError, last_line
from chameleon_tuner.space.task import NARROW, WIDE

# Attributes that MetaSchedule requires of a CUDA target. They are added to a target that is named
# by its architecture alone; every architecture since sm_50 has at least these limits.
_CUDA_LIMITS = {
    "max_threads_per_block": 1024,
    "max_shared_memory_per_block": 49152,
    "thread_warp_size": 32,
}


def resolve_target(text: str, threads: int) -> Target:
    """Return the target that a user has named.

    Args:
        text: `auto` (this CPU), `cuda` (the GPU of this machine), a TVM target string or JSON.
        threads: Number of cores that kernels are tuned for if the target does not state it.

    Returns:
        The target; a CPU target always states its number of cores.

    Raises:
        TargetError: The kind or the CPU is unknown, or `cuda` is given without a GPU.
    """
    if text == "auto":
        return Target({**_host(), "num-cores": threads})
    if text == "cuda":
        return _this_gpu()
    target = _parsed(text)
    if target.kind.name == "cuda":
        return Target({**_CUDA_LIMITS, **as_json(target)})
    if is_gpu(target):
        return target
    _check_cpu(target)
    if "num-cores" in target.attrs:
        return target
    return Target({**as_json(target), "num-cores": threads})


def as_json(target: Target) -> dict[str, Any]:
    """Return a target as plain JSON values, from which `Target(...)` makes it again."""
    plain: dict[str, Any] = json.loads(json.dumps(_plain(target.export())))
    return {key: value for key, value in plain.items() if value not in ("", None, [])}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping) or hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return str(value) if isinstance(value, str) else value
    try:
        return [_plain(item) for item in value]
    except TypeError:
        return int(value)


def _host() -> dict[str, Any]:
    """Return this CPU as a target.

    LLVM derives the instruction set from the name of the CPU. Vector extensions that this CPU does
    not have are switched off with `mattr`.
    """
    name = str(codegen.llvm_get_system_cpu())
    built = _vector_features(Target({"kind": "llvm", "mcpu": name}))
    here = host_features()
    differing = [f"-{f}" for f in sorted(built - here)] if here else []
    return {"kind": "llvm", "mcpu": name, **({"mattr": differing} if differing else {})}


def is_gpu(target: Target) -> bool:
    """Return whether kernels for a target are launched on a GPU."""
    return str(target.kind.name) != "llvm"


@functools.cache
def _adding_freely(text: str) -> Target:
    return Target({**json.loads(text), "fast-math-reassoc": True})


def adding_freely(target: Target) -> Target:
    """Return a target whose code may add up the elements of a row in any order.

    LLVM vectorises such sums then. On two cores of a Zen 1 a layer normalisation of 198 rows takes
    92 us instead of 305 by default, and a candidate for a softmax 0.5 ms instead of 36 ms. Nothing
    else changes: for other identities LLVM also wants to know that the sign of zero is irrelevant.
    """
    return target if is_gpu(target) else _adding_freely(json.dumps(as_json(target)))


def required_features(target: Target) -> frozenset[str]:
    """Return the vector extensions that code for a CPU target may use; empty for other kinds."""
    return frozenset() if is_gpu(target) else _vector_features(target)


def vector_bits(target: Target) -> int:
    """Return the vector width of a target in bits; see `Task.vector_bits`."""
    return WIDE if "avx512f" in required_features(target) else NARROW


def _vector_features(target: Target) -> frozenset[str]:
    if not str(codegen.llvm_get_system_triple()).startswith("x86_64"):
        return frozenset()
    found = (str(feature) for feature in codegen.llvm_get_cpu_features(target))
    return frozenset(feature for feature in found if feature.startswith(VECTOR_PREFIXES))


def _parsed(text: str) -> Target:
    try:
        return Target(json.loads(text) if text.lstrip().startswith("{") else _from_options(text))
    except Exception as error:
        raise TargetError(
            f"unknown target {text!r} ({last_line(error)}); use auto, cuda, or a TVM target "
            "such as 'llvm -mcpu=znver4 -num-cores=8'"
        ) from None


def _from_options(text: str) -> dict[str, Any] | str:
    """Convert `kind -key=value ...`, the form in TVM's documentation, to TVM's JSON form."""
    kind, *options = text.split()
    if not options:
        return kind
    found: dict[str, Any] = {"kind": kind}
    for option in options:
        key, separator, value = option.lstrip("-").partition("=")
        if not separator:
            raise ValueError(f"{option!r} is not of the form -key=value")
        if key == "mattr":
            found[key] = value.split(",")
        else:
            found[key] = int(value) if value.isdecimal() else value
    return found


def _check_cpu(target: Target) -> None:
    """Raise a `TargetError` if LLVM has no CPU of the target's name.

    TVM accepts any name, and silently builds for a generic CPU if LLVM does not have it.
    """
    name = str(target.attrs.get("mcpu", "") or "")
    known = [str(cpu) for cpu in codegen.llvm_get_cpu_archlist(Target("llvm"))]
    if name and name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see `llc -mcpu=help`"
        raise TargetError(f"LLVM knows no CPU {name!r}; {hint}")


def _this_gpu() -> Target:
    device = tvm.cuda(0)
    if not device.exist:
        raise TargetError(
            "this machine has no CUDA device; run the command on one that has (to list a model's "
            "tasks, name the architecture: --target 'cuda -arch=sm_90')"
        )
    return Target.from_device(device)
