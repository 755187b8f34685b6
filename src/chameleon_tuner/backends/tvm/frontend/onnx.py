"""The import of ONNX models as Relax modules."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.frontend.onnx import from_onnx, onnx_frontend

from chameleon_tuner.backends.tvm.patches import onnx_converters
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.system.files import require_file


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        ModelError: The file is missing, truncated, or not an ONNX model.
    """
    require_file(path)
    try:
        model = onnx.load(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise ModelError(
            f"{path} is not an ONNX model, or truncated ({reason[:120]}); export it again"
        ) from None
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX model: it holds no operators; export it again")
    return model


def import_onnx(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> IRModule:
    """Convert an ONNX model to a Relax module whose `main` takes the inputs and holds the weights.

    Args:
        model: The model, which is not changed.
        shapes: Static shapes of inputs by name, for dimensions that the model leaves open.

    Raises:
        ModelError: TVM does not import an operator, a dimension is open, or a shape does not fit.
    """
    fixed = dict(_input_shapes(model, shapes))
    try:
        with warnings.catch_warnings(), onnx_converters(_OURS):
            warnings.simplefilter("ignore")  # the importer warns about its own internals
            return from_onnx(model, shape_dict=fixed)
    except tvm.error.OpNotImplemented as error:
        names = str(error).rpartition(":")[2].strip()
        raise ModelError(
            f"TVM does not import these ONNX operators: {names}; replace them in the model, "
            "or import it yourself and tune the Relax module"
        ) from None
    except Exception as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise ModelError(f"TVM cannot import the model: {reason}") from None


def onnx_inputs(model: onnx.ModelProto) -> list[str]:
    """Return the names of the inputs that are not weights, in order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value.name for value in model.graph.input if value.name not in weights]


def _input_shapes(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]
) -> list[tuple[str, list[int]]]:
    values = {value.name: value for value in model.graph.input}
    names = onnx_inputs(model)
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise ModelError(f"--shape: the model has no input {unknown[0]!r}; it has {names}")
    return [(name, _fixed_shape(values[name], shapes.get(name))) for name in names]


def _fixed_shape(value: onnx.ValueInfoProto, given: Sequence[int] | None) -> list[int]:
    dims = value.type.tensor_type.shape.dim
    declared = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    labels = [dim.dim_param or "?" for dim in dims]
    if given is None:
        for position, (extent, label) in enumerate(zip(declared, labels, strict=True)):
            if extent is None or extent <= 0:
                example = ",".join(str(d) if d else "1" for d in declared)
                raise ModelError(
                    f"input {value.name!r}: dimension {position} ({label}) has no fixed size; "
                    f"give one, for example --shape {value.name}={example}"
                )
        return [extent for extent in declared if extent is not None]
    fits = len(given) == len(declared) and all(
        extent in (None, 0, wanted) for extent, wanted in zip(declared, given, strict=True)
    )
    if not fits:
        wanted = ",".join(map(str, given))
        shown = ",".join(str(d) if d else n for d, n in zip(declared, labels, strict=True))
        raise ModelError(f"--shape {value.name}={wanted} does not fit the model's ({shown})")
    return list(given)


class _Clip(onnx_frontend.Clip):  # type: ignore[misc]  # TVM has no types
    """A converter of Clip to Relax's `maximum` and `minimum`, where the bounds are constant.

    TVM's own converter makes two opaque kernels, whose layout cannot be changed and which do not
    fuse: MobileNet-V2 was left with a transposing clip kernel beside each of 35 convolutions.
    """

    @classmethod
    def _impl_v1(cls, bb: Any, inputs: Any, attr: Any, params: Any) -> Any:
        return _clipped(bb, inputs[0], attr.get("min", -np.inf), attr.get("max", np.inf))

    @classmethod
    def _impl_v13(cls, bb: Any, inputs: Any, attr: Any, params: Any) -> Any:
        low, high = _scalar(inputs[1]), _scalar(inputs[2])
        if low is None or high is None:
            return super()._impl_v13(bb, inputs, attr, params)
        return _clipped(bb, inputs[0], low, high)


def _scalar(bound: Any) -> float | None:
    """Return the value of a constant float32 bound; None if it is not constant or is NaN."""
    value: Any = getattr(bound, "value", None)
    if not hasattr(value, "numpy"):
        return None
    array = value.numpy()
    return float(array) if array.dtype == np.float32 and not np.isnan(array).any() else None


def _clipped(bb: Any, data: Any, low: float, high: float) -> Any:
    dtype = data.ty.dtype
    if math.isfinite(low):
        data = bb.normalize(relax.op.maximum(data, relax.const(low, dtype)))
    if math.isfinite(high):
        data = bb.normalize(relax.op.minimum(data, relax.const(high, dtype)))
    return data


class _HardSigmoid(onnx_frontend.HardSigmoid):  # type: ignore[misc]
    """A converter of HardSigmoid without TVM's `clip`, which left transposes on both sides."""

    @classmethod
    def _impl_v1(cls, bb: Any, inputs: Any, attr: Any, params: Any) -> Any:
        x = inputs[0]
        return _ramp(bb, x, float(attr.get("alpha", 0.2)), float(attr.get("beta", 0.5)))


class _HardSwish(onnx_frontend.HardSwish):  # type: ignore[misc]
    """A converter of HardSwish without TVM's `clip`: x * HardSigmoid(x), alpha 1/6 and beta 1/2."""

    @classmethod
    def _impl_v14(cls, bb: Any, inputs: Any, attr: Any, params: Any) -> Any:
        return relax.op.multiply(inputs[0], _ramp(bb, inputs[0], 1 / 6, 0.5))


def _ramp(bb: Any, x: Any, slope: float, middle: float) -> Any:
    dtype = x.ty.dtype
    scaled = bb.normalize(relax.op.multiply(x, relax.const(slope, dtype)))
    return _clipped(bb, bb.normalize(relax.op.add(scaled, relax.const(middle, dtype))), 0.0, 1.0)


_OURS = {"Clip": _Clip, "HardSigmoid": _HardSigmoid, "HardSwish": _HardSwish}
