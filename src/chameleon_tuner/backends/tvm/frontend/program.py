"""The import of a user's model of any supported kind, as a `Program`."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule

from chameleon_tuner.backends.tvm.frontend.onnx import import_onnx, onnx_inputs, read_onnx
from chameleon_tuner.core.errors import ModelError


@dataclass(frozen=True)
class TensorSpec:
    """The name, static shape and dtype of an input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Program:
    """An imported model that can be tuned.

    Attributes:
        name: Name of the model, for display.
        digest: Hash of the model, its weights and the static shapes.
        module: Relax module whose `main` takes the inputs and returns the outputs.
        inputs: Parameters of `main`, with the names in the user's model.
        outputs: Results of `main`, with the names in the user's model.
        onnx_path: Path of the ONNX file, for a comparison with onnxruntime; None for other models.
    """

    name: str
    digest: str
    module: IRModule = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    onnx_path: Path | None = None


def import_model(model: Any, shapes: Mapping[str, Sequence[int]] | None = None) -> Program:
    """Import a model of any supported kind.

    Args:
        model: Path of an ONNX file, `torch.export.ExportedProgram`, Relax `IRModule`, or
            TensorIR `PrimFunc` whose last argument is its output.
        shapes: Static shapes of inputs with open dimensions, by name (ONNX only).

    Raises:
        ModelError: The model cannot be read or imported, or a dimension is open.
    """
    if isinstance(model, str | Path):
        return _from_onnx_file(Path(model), shapes or {})
    if shapes:
        raise ModelError("shapes can be given for ONNX models only; export with static shapes")
    if isinstance(model, tvm.tirx.PrimFunc):
        return _from_relax(_call_of(model), "kernel")
    if isinstance(model, IRModule):
        return _from_relax(model, "model")
    if "torch" in sys.modules and isinstance(model, sys.modules["torch"].export.ExportedProgram):
        return _from_relax(_from_torch(model), "model")
    raise ModelError(
        f"cannot tune a {type(model).__name__}; give the path of an ONNX file, a "
        "torch.export.ExportedProgram, a Relax IRModule or a TensorIR PrimFunc"
    )


def _from_onnx_file(path: Path, shapes: Mapping[str, Sequence[int]]) -> Program:
    model = read_onnx(path)
    module = import_onnx(model, shapes)
    weights = hashlib.sha256(path.read_bytes()).hexdigest()
    shaped = repr(sorted((name, tuple(shape)) for name, shape in shapes.items()))
    digest = hashlib.sha256((weights + shaped).encode()).hexdigest()
    inputs, outputs = _signature(module)
    return Program(
        name=path.stem,
        digest=digest[:16],
        module=module,
        inputs=_renamed(inputs, onnx_inputs(model)),
        outputs=_renamed(outputs, [value.name for value in model.graph.output]),
        onnx_path=path,
    )


def _from_relax(module: IRModule, name: str) -> Program:
    if "main" not in {variable.name_hint for variable in module.functions}:
        raise ModelError("the Relax module has no function `main`")
    inputs, outputs = _signature(module)
    digest = hashlib.sha256(tvm.ir.save_json(module).encode()).hexdigest()
    return Program(name, digest[:16], module, inputs, outputs)


def _from_torch(program: Any) -> IRModule:
    from tvm.relax.frontend.torch import from_exported_program  # torch is loaded already

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the importer uses deprecated parts of PyTorch
            return from_exported_program(program, unwrap_unit_return_tuple=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise ModelError(f"TVM cannot import the exported program: {reason}") from None


def _call_of(function: Any) -> IRModule:
    """Build a Relax module whose `main` calls a single kernel."""
    infos = tvm.s_tir.meta_schedule.arg_info.ArgInfo.from_prim_func(function)
    types = [relax.TensorType([int(e) for e in info.shape], str(info.dtype)) for info in infos]
    builder = relax.BlockBuilder()
    inputs = [relax.Var(f"arg{n}", type_) for n, type_ in enumerate(types[:-1])]
    with builder.function("main", inputs):
        with builder.dataflow():
            kernel = builder.add_func(function.without_attr("global_symbol"), "kernel")
            out = builder.emit_output(relax.call_tir(kernel, inputs, types[-1]))
        builder.emit_func_output(out)
    return builder.get()


def _signature(module: IRModule) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    main = module["main"]
    inputs = tuple(_spec(parameter.name, parameter.ty) for parameter in main.params)
    returned = main.ret_ty
    parts = list(returned.fields) if isinstance(returned, relax.TupleType) else [returned]
    return inputs, tuple(_spec(f"output{n}", part) for n, part in enumerate(parts))


def _spec(name: str, type_: Any) -> TensorSpec:
    if not isinstance(type_, relax.TensorType) or type_.shape is None:
        raise ModelError(f"{name!r} is no tensor of known shape; export with static shapes")
    extents = list(type_.shape.values)
    for position, extent in enumerate(extents):
        if not isinstance(extent, tvm.tirx.IntImm | int):
            raise ModelError(
                f"{name!r}: dimension {position} ({extent}) has no fixed size; "
                "export the model with static shapes"
            )
    return TensorSpec(name, tuple(int(extent) for extent in extents), str(type_.dtype))


def _renamed(specs: Sequence[TensorSpec], names: Sequence[str]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, spec.shape, spec.dtype) for spec, name in zip(specs, names, strict=True)
    )
