"""Converters of pooling."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from tvm import relax, topi

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Array,
    Expr,
    const,
    dtype_of,
    is_float,
    numpy_dtype,
    scalar,
    shape_of,
)
from chameleon_tuner.backends.tvm.frontend.converters.shape import padded
from chameleon_tuner.backends.tvm.frontend.converters.windows import Windows, windows_of

_op: Any = relax.op

_MOST_PLACES = 64
"""Elements of the largest window in which the place of the maximum is looked for one by one."""


def _pool(kind: str, data: Expr, windows: Windows, counted: bool = False) -> Expr:
    """Return the pooling of an image by TVM's operator, with explicit padding."""
    operator = getattr(_op.nn, f"{kind}_pool{len(windows.kernel)}d")
    return operator(
        data,
        list(windows.kernel),
        list(windows.strides),
        windows.pads,
        list(windows.dilations),
        False,
        counted,
    )


def _maximum(node: Node) -> Any:
    windows = windows_of(node, node.attributes["kernel_shape"])
    if node.outputs == 1:
        return _pool("max", node.x, windows)
    return _with_places(node, windows)


def _with_places(node: Node, windows: Windows) -> list[Expr]:
    """Return the largest element of every window, and its place in the flattened input."""
    if math.prod(windows.kernel) > _MOST_PLACES:
        raise ValueError("its window is too large to return places")
    data, shape = node.x, shape_of(node.x)
    dtype = numpy_dtype(dtype_of(data))
    low = -np.inf if is_float(dtype_of(data)) else np.iinfo(dtype).min
    pairs = list(zip(windows.before, windows.after, strict=True))
    around = padded(node, data, [(0, 0), (0, 0), *pairs], low)
    numbers = _numbers(shape, bool(node.attributes.get("storage_order")))
    numbers = np.pad(numbers, [(0, 0), (0, 0), *pairs])
    best = place = None
    for offset in windows.places():
        value, number = _at(node, around, windows, offset), const(_taken(numbers, windows, offset))
        if best is None:
            best, place = value, number
            continue
        better = node.emit(_op.greater(value, best))
        best = node.emit(_op.where(better, value, best))
        place = node.emit(_op.where(better, number, place))
    return [best, place]


def _numbers(shape: list[int], column_major: bool) -> Array:
    """Return the place of every element in the flattened tensor."""
    if not column_major:
        return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    planes, inner = math.prod(shape[:2]), shape[2:]
    plane = np.arange(math.prod(inner), dtype=np.int64).reshape(inner[::-1]).T
    starts = np.arange(planes, dtype=np.int64).reshape([*shape[:2], *[1] * len(inner)])
    result: Array = starts * math.prod(inner) + plane
    return result


def _at(node: Node, around: Expr, windows: Windows, offset: tuple[int, ...]) -> Expr:
    """Return the element with an offset in every window."""
    axes = list(range(2, 2 + len(offset)))
    ends = [
        o + (count - 1) * s + 1
        for o, count, s in zip(offset, windows.outputs, windows.strides, strict=True)
    ]
    return node.emit(_op.strided_slice(around, axes, list(offset), ends, list(windows.strides)))


def _taken(numbers: Array, windows: Windows, offset: tuple[int, ...]) -> Array:
    cut = [
        slice(o, o + (count - 1) * s + 1, s)
        for o, count, s in zip(offset, windows.outputs, windows.strides, strict=True)
    ]
    index = (slice(None), slice(None), *cut)
    return np.ascontiguousarray(numbers[index])


def _average(node: Node) -> Expr:
    windows = windows_of(node, node.attributes["kernel_shape"])
    include = bool(node.attributes.get("count_include_pad"))
    counts = _counts(windows, include)
    if (counts == math.prod(windows.kernel)).all():
        return _pool("avg", node.x, windows, True)
    mean = node.emit(_pool("avg", node.x, windows, True))
    return _op.multiply(mean, scaled(math.prod(windows.kernel) / counts, mean))


def scaled(factors: Array, like: Expr) -> Expr:
    """Return factors of every place of an image as a constant."""
    return const(factors[None, None], dtype_of(like))


def _counts(windows: Windows, include: bool) -> Array:
    """Return the number of elements of every window that an average is over."""
    result: Array = np.ones(())
    for axis, extent in enumerate(windows.extents):
        first, last = windows.before[axis], windows.counted[axis]
        starts = np.arange(windows.outputs[axis]) * windows.strides[axis] - first
        steps = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        places = starts[:, None] + steps[None, :]
        low, high = (-first, extent + last) if include else (0, extent)
        inside = ((places >= low) & (places < high)).sum(axis=1)
        result = result[..., None] * inside
    return result


def _norm(node: Node) -> Expr:
    """Convert LpPool: the root of a sum of powers."""
    windows = windows_of(node, node.attributes["kernel_shape"])
    powers, power = _powers(node)
    mean = node.emit(_pool("avg", powers, windows, True))
    return _root(_op.multiply(mean, scalar(math.prod(windows.kernel), mean)), power)


def _powers(node: Node) -> tuple[Expr, float]:
    power = float(node.attributes.get("p", 2))
    size = node.emit(_op.abs(node.x))
    if power == 1:
        return size, power
    square = power == 2
    return node.emit(
        _op.multiply(size, size) if square else _op.power(size, scalar(power, size))
    ), power


def _root(total: Expr, power: float) -> Expr:
    if power == 1:
        return total
    if power == 2:
        return _op.sqrt(total)
    return _op.power(total, relax.const(1 / power, "float32"))


# -- over the whole image


def _axes(node: Node) -> list[int]:
    return list(range(2, len(shape_of(node.x))))


def _global_average(node: Node) -> Expr:
    return _op.mean(node.x, _axes(node), True)


def _global_maximum(node: Node) -> Expr:
    return _op.max(node.x, _axes(node), True)


def _global_norm(node: Node) -> Expr:
    powers, power = _powers(node)
    return _root(_op.sum(powers, _axes(node), True), power)


# -- back


def _unpool(node: Node) -> Expr:
    extents, kernel = shape_of(node.x), node.attributes["kernel_shape"]
    strides = node.attributes.get("strides") or [1] * len(kernel)
    pads = node.attributes.get("pads") or [0] * 2 * len(kernel)
    inner = [
        (extent - 1) * stride + size - before - after
        for extent, stride, size, before, after in zip(
            extents[2:], strides, kernel, pads[: len(kernel)], pads[len(kernel) :], strict=True
        )
    ]
    # Indices count the elements of this shape, also where another shape is asked for.
    shape = [*extents[:2], *inner]
    empty = const(np.zeros(math.prod(shape), numpy_dtype(dtype_of(node.x))))
    flat = [node.emit(_op.reshape(value, [-1])) for value in (node.inputs[1], node.x)]
    filled = node.kernel(topi.scatter_elements, empty, *flat, 0, "update", name="unpool")
    whole = node.emit(_op.reshape(filled, shape))
    wanted = node.integers(2) or shape
    return padded(node, whole, [(0, w - e) for w, e in zip(wanted, shape, strict=True)], 0)


def _columns_to_image(node: Node) -> Expr:
    """Add up blocks at their places in an image."""
    image, block = node.integers(1) or [], node.integers(2) or []
    rank = len(image)
    strides = list(node.attributes.get("strides") or [1] * rank)
    dilations = list(node.attributes.get("dilations") or [1] * rank)
    pads = list(node.attributes.get("pads") or [0] * 2 * rank)
    batch, rows, _ = shape_of(node.x)
    around = [image[n] + pads[n] + pads[n + rank] for n in range(rank)]
    counts = [
        (around[n] - dilations[n] * (block[n] - 1) - 1) // strides[n] + 1 for n in range(rank)
    ]
    channels = rows // math.prod(block)
    places = np.arange(math.prod(around)).reshape(around)
    index = np.stack(
        [
            places[
                tuple(
                    slice(o * d, o * d + (count - 1) * s + 1, s)
                    for o, d, count, s in zip(offset, dilations, counts, strides, strict=True)
                )
            ].ravel()
            for offset in itertools.product(*map(range, block))
        ]
    ).reshape(1, -1)
    values = node.emit(_op.reshape(node.x, [batch * channels, index.size]))
    total = batch * channels
    indices = const(np.broadcast_to(index, (total, index.size)).astype(np.int64))
    empty = const(np.zeros((total, math.prod(around)), numpy_dtype(dtype_of(node.x))))
    summed = node.kernel(
        topi.scatter_elements, empty, indices, values, 1, "add", name="columns_to_image"
    )
    whole = node.emit(_op.reshape(summed, [batch, channels, *around]))
    ends = [pads[n] + image[n] for n in range(rank)]
    return _op.strided_slice(whole, list(range(2, 2 + rank)), pads[:rank], ends, [1] * rank)


RULES: dict[str, Rule] = {
    "AveragePool": _average,
    "Col2Im": _columns_to_image,
    "GlobalAveragePool": _global_average,
    "GlobalLpPool": _global_norm,
    "GlobalMaxPool": _global_maximum,
    "LpPool": _norm,
    "MaxPool": _maximum,
    "MaxUnpool": _unpool,
}
