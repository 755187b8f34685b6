"""Converters of Resize and Upsample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Array,
    Expr,
    axis_of,
    const,
    dtype_of,
    is_float,
    shape_of,
)

_op: Any = relax.op


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized.

    Attributes:
        extent: Number of elements of the input.
        count: Number of elements of the output.
        scale: Their ratio as the model gives it, which the rounding of `count` leaves inexact.
        begin: Begin of the region of interest, in fractions of the input.
        end: End of it.
    """

    extent: int
    count: int
    scale: float
    begin: float = 0.0
    end: float = 1.0


def _resize(node: Node) -> Expr:
    first = 1 if node.opset < 11 else 2
    scales, sizes = node.value(first), node.value(first + 1)
    return _resized(node, scales, sizes, node.value(1) if first == 2 else None)


def _upsample(node: Node) -> Expr:
    given = node.attributes.get("scales") if node.opset < 9 else node.value(1)
    return _resized(node, None if given is None else np.asarray(given), None, None)


def _resized(node: Node, scales: Array | None, sizes: Array | None, region: Array | None) -> Expr:
    extents = shape_of(node.x)
    axes = [axis_of(a, len(extents)) for a in node.attributes.get("axes") or range(len(extents))]
    found = _axes(node, [extents[axis] for axis in axes], scales, sizes, region)
    changed = {
        number: axis
        for number, axis in zip(axes, found, strict=True)
        if (axis.count, axis.scale, axis.begin, axis.end) != (axis.extent, 1.0, 0.0, 1.0)
    }
    direct = _by_tvm(node, changed)
    if direct is not None:
        return direct
    dtype, data = dtype_of(node.x), node.x
    linear = node.text("mode", "nearest") != "nearest"
    if linear and dtype != "float64":
        data = node.emit(_op.astype(data, "float32"))
    for number, axis in changed.items():
        data = _along(node, data, number, axis)
    if linear and not is_float(dtype):
        data = node.emit(_op.round(data))
    return _op.astype(data, dtype)


def _axes(
    node: Node,
    extents: Sequence[int],
    scales: Array | None,
    sizes: Array | None,
    region: Array | None,
) -> list[_Axis]:
    """Return how the axes are resized that the node names."""
    if scales is not None and scales.size:
        ratios = [float(scale) for scale in scales]
        counts = [math.floor(e * scale) for e, scale in zip(extents, ratios, strict=True)]
    else:
        assert sizes is not None  # noqa: S101 - one of both is given
        counts = [int(size) for size in sizes]
        ratios = [count / extent for count, extent in zip(counts, extents, strict=True)]
        policy = node.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            ratios = [ratio] * len(ratios)
            counts = [math.floor(extent * ratio + 0.5) for extent in extents]
    cropped = node.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    rank = len(extents)
    ends = region.tolist() if cropped and region is not None else [0.0] * rank + [1.0] * rank
    return [_Axis(extents[n], counts[n], ratios[n], ends[n], ends[n + rank]) for n in range(rank)]


# -- TVM's operator, whose layout can be changed

_PLAIN = {
    ("nearest", "asymmetric", "floor"),
    ("nearest", "half_pixel", "round_prefer_floor"),
    ("linear", "half_pixel", ""),
    ("linear", "asymmetric", ""),
    ("linear", "align_corners", ""),
}
"""Modes, coordinates and roundings in which TVM resizes images as ONNX defines it."""


def _by_tvm(node: Node, changed: dict[int, _Axis]) -> Expr | None:
    """Return an image resized by TVM's operator; None if that would compute something else."""
    extents = shape_of(node.x)
    mode = node.text("mode", "nearest")
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    if node.opset < 11:
        coordinates = "asymmetric"
    rounding = node.text("nearest_mode", "round_prefer_floor") if mode == "nearest" else ""
    if node.opset < 11 and mode == "nearest":
        rounding = "floor"
    exact = all(axis.extent * axis.scale == axis.count for axis in changed.values())
    plain = (mode, coordinates, rounding) in _PLAIN and not node.attributes.get("antialias")
    if len(extents) != 4 or not exact or not plain or not set(changed) <= {2, 3}:
        return None
    if dtype_of(node.x) != "float32":
        return None
    counts = [changed[n].count if n in changed else extents[n] for n in (2, 3)]
    return _op.image.resize2d(
        node.x,
        relax.ShapeExpr(counts),
        roi=[0.0] * 4,
        layout="NCHW",
        method="nearest_neighbor" if mode == "nearest" else mode,
        coordinate_transformation_mode=coordinates,
        rounding_method=rounding or "round",
    )


# -- one axis after the other, as a sum of weighted elements


def _along(node: Node, data: Expr, number: int, axis: _Axis) -> Expr:
    places = _coordinates(node, axis)
    outside = None
    if node.text("coordinate_transformation_mode") == "tf_crop_and_resize":
        outside = (places < 0) | (places > axis.extent - 1)
    if node.text("mode", "nearest") == "nearest":
        index = np.clip(_nearest(node, places), 0, axis.extent - 1).astype(np.int64)
        result = node.emit(_op.take(data, const(index), number))
    else:
        result = _weighted(node, data, number, *_taps(node, axis, places))
    if outside is None or not outside.any():
        return result
    rank = len(shape_of(data))
    mask = outside.reshape([-1 if n == number else 1 for n in range(rank)])
    value = const(node.attributes.get("extrapolation_value", 0.0), dtype_of(result))
    return node.emit(_op.where(const(mask), value, result))


def _weighted(node: Node, data: Expr, number: int, index: Array, weights: Array) -> Expr:
    """Return sums of elements along an axis; both arrays have the shape (outputs, taps)."""
    rank, total = len(shape_of(data)), None
    for tap in range(index.shape[1]):
        if not weights[:, tap].any():
            continue
        factors = weights[:, tap].reshape([-1 if n == number else 1 for n in range(rank)])
        taken = _op.take(data, const(index[:, tap].astype(np.int64)), number)
        part = _op.multiply(taken, const(factors, dtype_of(data)))
        total = part if total is None else _op.add(total, part)
    return node.emit(total)


def _coordinates(node: Node, axis: _Axis) -> Array:
    """Return the place in the input of every output element, in float32 as others compute it."""
    out: Array = np.arange(axis.count, dtype=np.float32)
    default = "asymmetric" if node.opset < 11 else "half_pixel"
    mode = node.text("coordinate_transformation_mode", default)
    length, last, scale = axis.extent * axis.scale, axis.extent - 1, np.float32(axis.scale)
    if mode == "align_corners":
        places = out * last / (length - 1) if length != 1 else out * 0
    elif mode == "asymmetric":
        places = out / scale
    elif mode == "tf_half_pixel_for_nn":
        places = (out + 0.5) / scale
    elif mode == "tf_crop_and_resize":
        middle = 0.5 * (axis.begin + axis.end)
        step = (axis.end - axis.begin) * last / (length - 1) if axis.count > 1 else 0.0
        places = (axis.begin if axis.count > 1 else middle) * last + out * step
    elif mode == "pytorch_half_pixel" and length <= 1:
        places = out * 0 - 0.5
    else:
        places = (out + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        places = places + axis.extent / 2 * (1 - axis.count / length)
    return places


def _nearest(node: Node, places: Array) -> Array:
    mode = node.text("nearest_mode", "floor" if node.opset < 11 else "round_prefer_floor")
    rounding: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }
    return rounding[mode](places)


def _taps(node: Node, axis: _Axis, places: Array) -> tuple[Array, Array]:
    """Return the elements that every output is computed from, and their weights."""
    cubic = node.text("mode") == "cubic"
    shrunk = min(axis.scale, 1.0) if node.attributes.get("antialias") else 1.0
    reach = math.ceil((2 if cubic else 1) / shrunk)
    base = np.floor(places)[:, None]
    index = base + np.arange(1 - reach, reach + 1)[None, :]
    distance = np.abs(index - places[:, None]) * shrunk
    if cubic:
        weights = _cubic(distance, float(node.attributes.get("cubic_coeff_a", -0.75)))
    else:
        weights = np.maximum(1 - distance, 0)
    inside = (index >= 0) & (index < axis.extent)
    if node.attributes.get("exclude_outside"):
        weights = np.where(inside, weights, 0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(index, 0, axis.extent - 1), weights


def _cubic(x: Array, a: float) -> Array:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


RULES: dict[str, Rule] = {"Resize": _resize, "Upsample": _upsample}
