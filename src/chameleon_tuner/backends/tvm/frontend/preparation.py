"""A user's ONNX model made ready for the import: static shapes, constants folded, types known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import external_data_helper, inliner, shape_inference

from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile, extent_of
from chameleon_tuner.backends.tvm.frontend.sessions import short
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.core.shapes import Shapes
from chameleon_tuner.system.machine import memory_bytes

_UNWANTED = ("MatMulAddFusion", "TransposeOptimizer")
"""Rewrites of onnxruntime that suit its own kernels only. The first flattens batched matrix
products between reshapes, the second moves transposes to where its layouts want them."""

_EXTERNAL_BYTES = 1 << 30
"""Models with more weights go through files: a protobuf message holds 2 GiB at most."""


def fixed(file: OnnxFile, shapes: Shapes) -> onnx.ModelProto:
    """Return a model whose inputs have static shapes; weights stay where they are.

    Args:
        file: The model.
        shapes: Static shapes of inputs by name, for dimensions that the model leaves open.

    Raises:
        ModelError: A dimension is open, a shape does not fit, or no machine could hold an input.
    """
    names = [value.name for value in file.inputs]
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise ModelError(f"--shape: the model has no input {unknown[0]!r}; it has {names}")
    found = {value.name: _fixed_shape(value, shapes.get(value.name)) for value in file.inputs}
    _require_memory(found)
    model = file.load()
    for value in model.graph.input:
        if value.name in found:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for extent in found[value.name]:
                shape.dim.add().dim_value = extent
    if shapes:
        _forget_shapes(model.graph)
    return model


def _require_memory(shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise a `ModelError` if an input has more elements than this machine's memory has bytes."""
    for name, shape in shapes.items():
        if math.prod(shape) > memory_bytes():
            raise ModelError(
                f"input {name!r} of {'x'.join(map(str, shape))} elements does not fit in this "
                "machine's memory; export the model with smaller dimensions"
            )


def _forget_shapes(graph: onnx.GraphProto) -> None:
    """Remove the shapes of intermediate values and outputs, which hold for open dimensions."""
    del graph.value_info[:]
    for value in graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")


def _fixed_shape(value: onnx.ValueInfoProto, given: Sequence[int] | None) -> list[int]:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        if given is None:
            raise ModelError(
                f"input {value.name!r} has no shape; give one, for example "
                f"--shape {value.name}=1,3,224,224"
            )
        return list(given)
    declared = [extent_of(dim) for dim in tensor.shape.dim]
    labels = [dim.dim_param or "?" for dim in tensor.shape.dim]
    if given is None:
        for position, (extent, label) in enumerate(zip(declared, labels, strict=True)):
            if extent is None:
                example = ",".join(str(d) if d else "1" for d in declared)
                raise ModelError(
                    f"input {value.name!r}: dimension {position} ({label}) has no fixed size; "
                    f"give one, for example --shape {value.name}={example}"
                )
        return [extent for extent in declared if extent is not None]
    fits = len(given) == len(declared) and all(
        extent in (None, wanted) for extent, wanted in zip(declared, given, strict=True)
    )
    if not fits:
        wanted = ",".join(map(str, given))
        shown = ",".join(n if d is None else str(d) for d, n in zip(declared, labels, strict=True))
        raise ModelError(f"--shape {value.name}={wanted} does not fit the model's ({shown})")
    return list(given)


class NoKernelError(ModelError):
    """onnxruntime knows the model's operators, but has no kernels for all of their types."""


def simplified(model: onnx.ModelProto, base: Path, scratch: Path) -> onnx.ModelProto:
    """Fold constants and shape arithmetic, inline functions, and infer all shapes.

    onnxruntime's own basic optimisations do it, and are what its users run. On three files of
    public packages they took 0.05 to 0.15 s, onnxsim 0.17 to 0.32 s, and onnxslim 1.2 to 2.0 s.
    They left 233, 328 and 277 nodes, onnxslim as many, and onnxsim 235, 494 and 267.

    Args:
        model: A model with static inputs.
        base: Folder of its external data.
        scratch: A folder for the weights of the result.

    Returns:
        The simplified model. Its large weights are external data in `scratch`: the main process
        would otherwise hold them twice.

    Raises:
        NoKernelError: onnxruntime has no kernels for the model.
        ModelError: onnxruntime refuses the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    path = scratch / "simplified.onnx"
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", "weights.bin"
    )
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
    )
    try:
        onnxruntime.InferenceSession(
            _readable(model, base, scratch),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(_UNWANTED),
        )
    except Exception as error:
        kind = NoKernelError if "NOT_IMPLEMENTED" in str(error) else ModelError
        raise kind(f"onnxruntime refuses the model: {short(error)}") from None
    return inferred(onnx.load(path, load_external_data=False))


def standardised(model: onnx.ModelProto, base: Path) -> onnx.ModelProto:
    """Inline the functions of a model that onnxruntime has no kernels for, and infer its shapes.

    Args:
        model: A model with static inputs.
        base: Folder of its external data.
    """
    external_data_helper.load_external_data_for_model(model, str(base))
    return inferred(inliner.inline_local_functions(model))


def _readable(model: onnx.ModelProto, base: Path, scratch: Path) -> Any:
    """Return the model as bytes with its weights, or the path of a file where it is too large."""
    external_data_helper.load_external_data_for_model(model, str(base))
    if model.ByteSize() < _EXTERNAL_BYTES:
        return model.SerializeToString()
    path = scratch / "whole.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="whole.bin")
    return str(path)


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in which the shape of every value is known that follows from the inputs."""
    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # what onnxruntime inferred is there already
        return model
