"""The geometry of windows that slide over an image, for convolutions and pooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chameleon_tuner.backends.tvm.frontend.converters.base import Node
from chameleon_tuner.backends.tvm.frontend.converters.expressions import shape_of


@dataclass(frozen=True)
class Windows:
    """Windows that slide over an image; all attributes have one number an axis.

    Attributes:
        extents: Extents of the image.
        kernel: Extents of the window.
        strides: Steps between windows.
        dilations: Steps between elements of a window.
        before: Padding before the image.
        after: Padding behind it, up to the end of the last window.
        counted: The part of `after` that the model asks for, rather than rounding up.
        outputs: Number of windows.
    """

    extents: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    counted: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def pads(self) -> list[int]:
        """The padding as ONNX and TVM write it: before all axes, then behind."""
        return [*self.before, *self.after]

    def places(self) -> Iterator[tuple[int, ...]]:
        """Yield the offsets of a window's elements in the padded image."""
        steps = [range(0, k * d, d) for k, d in zip(self.kernel, self.dilations, strict=True)]
        return itertools.product(*steps)


def windows_of(node: Node, kernel: Sequence[int]) -> Windows:
    """Return the windows of a node from its attributes.

    Args:
        node: A convolution or a pooling.
        kernel: Extents of the window.
    """
    extents = tuple(shape_of(node.x)[2:])
    rank = len(extents)
    strides = tuple(node.attributes.get("strides") or [1] * rank)
    dilations = tuple(node.attributes.get("dilations") or [1] * rank)
    pads = list(node.attributes.get("pads") or [0] * 2 * rank)
    auto, ceil = node.text("auto_pad", "NOTSET"), bool(node.attributes.get("ceil_mode"))
    before, after, counted, outputs = [], [], [], []
    for axis, extent in enumerate(extents):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        first, last = pads[axis], pads[axis + rank]
        if auto.startswith("SAME"):
            count = -(-extent // strides[axis])
            total = max((count - 1) * strides[axis] + reach - extent, 0)
            first = total // 2 if auto == "SAME_UPPER" else total - total // 2
            last = total - first
        elif auto == "VALID":
            first = last = 0
        count = _count(extent, first, last, reach, strides[axis], ceil)
        end = (count - 1) * strides[axis] + reach - extent - first
        before.append(first)
        counted.append(last)
        after.append(max(end, 0) if ceil else last)
        outputs.append(count)
    return Windows(
        extents,
        tuple(kernel),
        strides,
        dilations,
        tuple(before),
        tuple(after),
        tuple(counted),
        tuple(outputs),
    )


def _count(extent: int, first: int, last: int, reach: int, stride: int, ceil: bool) -> int:
    """Return the number of windows; none begins in the padding behind the image."""
    room = extent + first + last - reach
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= extent + first else count
