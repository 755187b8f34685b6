"""Models compiled as they are, without tuning, and called at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tvm
from tvm import relax
from tvm.ir import IRModule

from chameleon_tuner.backends.tvm.frontend.converters.expressions import known_extents, numpy_dtype
from chameleon_tuner.backends.tvm.frontend.cutting import Cut
from chameleon_tuner.backends.tvm.frontend.functions import inlined
from chameleon_tuner.backends.tvm.frontend.onnx import convert, convertible
from chameleon_tuner.backends.tvm.frontend.reading import STANDARD
from chameleon_tuner.backends.tvm.lower.exact import EXACT
from chameleon_tuner.backends.tvm.lower.graph import finish, fuse, lay_out
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.core.errors import ModelError

Array = npt.NDArray[Any]
Call = Callable[[Mapping[str, Array]], list[Array]]


def compile_now(model: onnx.ModelProto) -> Call:
    """Compile an ONNX model with untuned kernels for this CPU.

    Args:
        model: A model whose inputs have static shapes, without functions.

    Returns:
        A function from arrays by the names of the inputs to the outputs in order.

    Raises:
        ModelError: TVM does not import the model.
    """
    module = _imported(model)
    types = _output_types(module)
    empty = {n: np.zeros(*found) for n, found in enumerate(types) if found and 0 in found[0]}
    if empty:  # TVM's executables cannot hold tensors without elements
        rest = _without_outputs(model, empty)
        call = compile_now(rest) if rest.graph.output else _nothing
        return lambda inputs: _merged(call(inputs), empty)
    return _compiled(module, [value.name for value in model.graph.input])


def _imported(model: onnx.ModelProto) -> IRModule:
    for node in model.graph.node:
        if node.domain not in STANDARD:
            raise ModelError(f"TVM has no operator {node.op_type} of the domain {node.domain}")
    return convert(Cut(model, {}, {}))


def _output_types(module: IRModule) -> list[tuple[list[int], Any] | None]:
    """Return the shapes and dtypes of a module's outputs; None if a shape depends on the data."""
    returned = module["main"].ret_ty
    parts = list(returned.fields) if isinstance(returned, relax.TupleType) else [returned]
    shapes = [known_extents(part) for part in parts]
    return [
        None if shape is None else (shape, numpy_dtype(part.dtype))
        for shape, part in zip(shapes, parts, strict=True)
    ]


def _without_outputs(model: onnx.ModelProto, numbers: Collection[int]) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    kept = [value for n, value in enumerate(model.graph.output) if n not in numbers]
    del result.graph.output[:]
    result.graph.output.extend(kept)
    return result


def _nothing(inputs: Mapping[str, Array]) -> list[Array]:
    return []


def _merged(found: list[Array], empty: Mapping[int, Array]) -> list[Array]:
    rest = iter(found)
    return [empty[n] if n in empty else next(rest) for n in range(len(found) + len(empty))]


def _compiled(module: IRModule, names: Sequence[str]) -> Call:
    target = _target()
    compiled = finish(fuse(lay_out(module, target), target, EXACT), target)
    main = relax.VirtualMachine(compiled.executable, tvm.cpu())["main"]

    def call(inputs: Mapping[str, Array]) -> list[Array]:
        given = [tvm.runtime.tensor(np.asarray(inputs[name], order="C")) for name in names]
        returned = main(*given, *compiled.weights)
        tensors = [returned] if isinstance(returned, tvm.runtime.Tensor) else returned
        return [tensor.numpy() for tensor in tensors]

    return call


@functools.cache
def _target() -> tvm.target.Target:
    return resolve_target("auto", 1)


def without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in which only operators are left that are converted as they are."""
    return inlined(model, convertible())
