"""The import of a user's model of any supported kind, as a `Program`."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import tvm
from tvm import relax
from tvm.ir import IRModule

from chameleon_tuner.backends.tvm.frontend import functions
from chameleon_tuner.backends.tvm.frontend.cutting import Cut, Part, cut
from chameleon_tuner.backends.tvm.frontend.files import is_exported, onnx_file, opened
from chameleon_tuner.backends.tvm.frontend.onnx import NodeRefusedError, convert, convertible
from chameleon_tuner.backends.tvm.frontend.preparation import (
    NoKernelError,
    fixed,
    simplified,
    standardised,
)
from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile, border
from chameleon_tuner.backends.tvm.frontend.sessions import short
from chameleon_tuner.backends.tvm.frontend.tensors import Range, TensorSpec
from chameleon_tuner.backends.tvm.frontend.trial import ranges_of
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.core.shapes import Shapes
from chameleon_tuner.system.files import ScratchFolder


@dataclass(frozen=True)
class Program:
    """An imported model that can be tuned.

    Attributes:
        name: Name of the model, for display.
        digest: Hash of the model, its weights and the static shapes.
        module: Relax module whose `main` takes the inputs and returns the outputs.
        inputs: Parameters of `main`, with the names in the user's model.
        outputs: Results of `main`, with the names in the user's model.
        onnx: The ONNX file, which onnxruntime runs; None for other models.
        refusal: Why onnxruntime does not run an ONNX file; empty if it does.
        cut: The graph from which the module was converted; None for other models.
        ranges: What integer inputs may be, by name, see `trial.ranges_of`.
        shapes: Static shapes that were given, by name.
    """

    name: str
    digest: str
    module: IRModule = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    onnx: OnnxFile | None = field(default=None, repr=False)
    cut: Cut | None = field(default=None, repr=False)
    refusal: str = ""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether the user's model takes other shapes, too."""
        return self.onnx is not None and any(
            extent is None for spec in border(self.onnx.inputs) for extent in spec.shape
        )

    @property
    def parts(self) -> Mapping[str, Part]:
        """The parts that run in onnxruntime, by name."""
        return self.cut.parts if self.cut else {}


def import_model(
    model: Any,
    shapes: Shapes | None = None,
    outside: Mapping[str, str] | None = None,
    prepared: Ready | None = None,
) -> Program:
    """Import a model of any supported kind.

    Args:
        model: Path of an ONNX file or of one of `torch.export.save`, `OnnxFile`,
            `torch.export.ExportedProgram`, Relax `IRModule`, or TensorIR `PrimFunc` whose last
            argument is its output.
        shapes: Static shapes of inputs with open dimensions, by name (ONNX only).
        outside: Reasons of nodes that are known to run in onnxruntime, see `cutting.cut`.
        prepared: The ONNX model made ready, if it was already.

    Returns:
        The program.

    Raises:
        ModelError: The model cannot be read or imported, or a dimension is open.
    """
    file = onnx_file(model)
    if file is not None:
        return from_onnx(file, shapes or {}, outside or {}, prepared)
    model = opened(model)
    if shapes:
        raise ModelError("shapes can be given for ONNX models only; export with static shapes")
    if isinstance(model, tvm.tirx.PrimFunc):
        return _from_relax(_call_of(model), "kernel")
    if isinstance(model, IRModule):
        return _from_relax(model, "model")
    if is_exported(model):
        return _from_relax(_from_torch(model), "model")
    raise ModelError(
        f"cannot tune a {type(model).__name__}; give the path of an ONNX file, a "
        "torch.export.ExportedProgram, a PyTorch module with example_inputs, a Relax IRModule or a "
        "TensorIR PrimFunc"
    )


def from_onnx(
    file: OnnxFile, shapes: Shapes, outside: Mapping[str, str], prepared: Ready | None = None
) -> Program:
    """Import an ONNX file; nodes that TVM refuses become parts for onnxruntime.

    Args:
        file: The file.
        shapes: Static shapes of inputs with open dimensions, by name.
        outside: Reasons of nodes that are known to run in onnxruntime.
        prepared: The file made ready, if it was already.

    Returns:
        The program.

    Raises:
        ModelError: The model is refused by onnxruntime, or a dimension is open.
    """
    prepared = prepared or ready(file, shapes)
    graph, module = converted(prepared, outside)
    if prepared.refusal and graph.parts:
        raise ModelError(prepared.refusal)
    left_open = {spec.name for spec in border(file.inputs) if spec.static is None}
    chosen = {name: tuple(shape) for name, shape in shapes.items() if name in left_open}
    shaped = repr(sorted(chosen.items()))
    return Program(
        name=file.path.stem,
        digest=hashlib.sha256((file.digest + shaped).encode()).hexdigest()[:16],
        module=module,
        inputs=prepared.inputs,
        outputs=tuple(border(graph.model.graph.output)),
        onnx=None if prepared.refusal else file,
        refusal=prepared.refusal,
        cut=graph,
        ranges=ranges_of(prepared.model),
        shapes=shapes,
    )


@dataclass(frozen=True)
class Ready:
    """A model that is ready to be converted.

    Attributes:
        model: The simplified model, whose large weights are external data.
        folder: Folder of the external data.
        inputs: Its inputs.
        refusal: Why onnxruntime does not run it; empty if it does.
        keeper: Keeps a temporary folder alive.
    """

    model: onnx.ModelProto = field(repr=False)
    folder: Path
    inputs: tuple[TensorSpec, ...]
    refusal: str = ""
    keeper: Any = field(default=None, repr=False, compare=False)


def ready(file: OnnxFile, shapes: Shapes, scratch: Path | None = None) -> Ready:
    """Check a model's border, and simplify it.

    Args:
        file: The model.
        shapes: Static shapes of inputs with open dimensions, by name.
        scratch: A folder for its weights; a temporary one without it.

    Returns:
        The model.

    Raises:
        ModelError: The model is refused by onnxruntime, or a dimension is open.
    """
    given = functions.expanded(fixed(file, shapes), convertible())
    weights = {tensor.name for tensor in given.graph.initializer}
    inputs = tuple(border(value for value in given.graph.input if value.name not in weights))
    border(given.graph.output)
    keeper = ScratchFolder() if scratch is None else None
    folder = keeper.path if keeper else Path(scratch or "")
    try:
        return Ready(_simplified(file, given, folder), folder, inputs, keeper=keeper)
    except NoKernelError as refused:
        model = standardised(fixed(file, shapes), file.path.parent)
        return Ready(model, folder, inputs, str(refused), keeper)


def _simplified(file: OnnxFile, given: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the model with static shapes, or with open ones where that contradicts the model."""
    try:
        return simplified(given, file.path.parent, folder)
    except NoKernelError:
        raise
    except ModelError as first:
        try:  # branches for other shapes are never run, but refused
            return simplified(file.load(), file.path.parent, folder)
        except ModelError:
            raise first from None


def converted(prepared: Ready, outside: Mapping[str, str]) -> tuple[Cut, IRModule]:
    """Cut a model and convert it, with ever more nodes outside until TVM refuses none.

    Args:
        prepared: The model.
        outside: Reasons of nodes that are known to run in onnxruntime.

    Returns:
        The cut graph and the module.
    """
    reasons, known = dict(outside), convertible()
    while True:
        graph = cut(prepared.model, reasons, known, prepared.folder)
        try:
            return graph, convert(graph)
        except NodeRefusedError as refused:
            if refused.node in reasons:
                raise
            reasons[refused.node] = refused.reason


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
        raise ModelError(f"TVM cannot import the exported program: {short(error)}") from None


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
