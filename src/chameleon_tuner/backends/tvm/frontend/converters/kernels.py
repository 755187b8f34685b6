"""Kernels that are no tensor expressions of loops: sorting, scattering, running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, s_tir, tirx
from tvm.relax.utils import gen_call_tir_inputs


def call_kernel(builder: Any, compute: Callable[..., Any], arguments: Any, name: str) -> Any:
    """Bind the result of a kernel that TVM writes as a whole to a variable.

    Such a kernel is a single block, which TVM's passes for schedules take for the root and fail. So
    it is put into a root of its own.

    Args:
        builder: The builder of the function.
        compute: One of TVM's functions that make `te.extern` tensors.
        arguments: Its arguments; expressions become tensors.
        name: Name of the kernel.

    Returns:
        The variable.
    """
    function, inputs, types = gen_call_tir_inputs(compute, *arguments)
    return builder.emit(relax.call_tir(builder.add_func(_rooted(function), name), inputs, types))


def _rooted(function: Any) -> Any:
    root = s_tir.SBlock([], [], [], "root", function.body)
    body = s_tir.SBlockRealize([], tirx.const(True, "bool"), root)
    return function.with_body(body)
