"""ONNX files: reading them with their external data, and their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
from onnx import external_data_helper, helper

from chameleon_tuner.backends.tvm.frontend.sessions import short
from chameleon_tuner.backends.tvm.frontend.tensors import TensorSpec
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.system.checksums import Checksum
from chameleon_tuner.system.files import require_file

STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""

NEWEST_IR = 10
"""Newest version of the file format that every supported onnxruntime reads. Later versions add
types that few models use, but exporters stamp them on every file."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read and checked. Its content is not kept, because of the weights.

    Attributes:
        path: The file.
        inputs: The inputs that are not weights, in order.
        external: Files with its external data, by the location that the model has for them.
        digest: Hash of the file and of its external data.
        keeper: Keeps a temporary file alive.
    """

    path: Path
    inputs: tuple[onnx.ValueInfoProto, ...] = field(repr=False)
    external: Mapping[str, Path]
    digest: str
    keeper: Any = field(default=None, repr=False, compare=False)

    def elsewhere(self) -> OnnxFile:
        """Return the file as another process can be told of it."""
        return replace(self, path=self.path.absolute(), keeper=None)

    def load(self) -> onnx.ModelProto:
        """Return the model, without external data, in a version that onnxruntime reads."""
        model = onnx.load(self.path, load_external_data=False)
        model.ir_version = min(model.ir_version, NEWEST_IR)
        return model


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file.

    Raises:
        ModelError: The file or its external data is missing, truncated, or not an ONNX model.
    """
    require_file(path)
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ModelError(
            f"{path} is not an ONNX model, or truncated ({short(error)}); export it again"
        ) from None
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX model: it holds no operators; export it again")
    external = dict(_external(model, path.parent))
    digest = hashlib.sha256(path.read_bytes())
    for location, file in sorted(external.items()):
        digest.update(f"{location} {Checksum.of(file).sha256}".encode())
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(value for value in model.graph.input if value.name not in weights)
    return OnnxFile(path, tuple(map(_copied, inputs)), external, digest.hexdigest())


def _copied(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Return a copy that does not keep its model alive."""
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    return copy


def _external(model: onnx.ModelProto, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the locations of external data and their files, which stay within the folder."""
    for tensor in external_data_helper._get_all_tensors(model):
        if not external_data_helper.uses_external_data(tensor):
            continue
        location = external_data_helper.ExternalDataInfo(tensor).location
        file = folder / location
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"the model's weights lie outside its folder, in {location!r}")
        if not file.is_file():
            raise ModelError(
                f"{file}: no such file; the model has its weights there, so copy it along"
            )
        yield location, file


def border(values: Iterable[onnx.ValueInfoProto]) -> list[TensorSpec]:
    """Return the specifications of a model's inputs or outputs.

    Raises:
        ModelError: One of them is no tensor of numbers.
    """
    return [_spec(value) for value in values]


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.WhichOneof("value") or "value without a type"
    if kind != "tensor_type":
        raise ModelError(
            f"{value.name!r} is a {kind.removesuffix('_type')}; "
            "only tensors of numbers can be inputs and outputs of a tuned model"
        )
    dtype = dtype_of(value.type.tensor_type.elem_type)
    if dtype is None:
        raise ModelError(
            f"{value.name!r} is a tensor of strings; "
            "only tensors of numbers can be inputs and outputs of a tuned model"
        )
    dims = value.type.tensor_type.shape.dim
    return TensorSpec(value.name, tuple(extent_of(dim) for dim in dims), dtype)


def extent_of(dim: Any) -> int | None:
    """Return the extent of a dimension; None if it is open: named, unnamed or -1."""
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def dtype_of(elem_type: int) -> str | None:
    """Return NumPy's name of an ONNX element type; None for strings and unknown types."""
    try:
        dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    except KeyError:
        return None
    return None if dtype.kind == "O" else str(dtype.name)
