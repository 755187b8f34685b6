"""A 3x3 convolution by minimal filtering as a TensorIR function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T  # noqa: N812 - the name that TVM gives it everywhere

from chameleon_tuner.backends.tvm.lower.graph import PATTERN
from chameleon_tuner.backends.tvm.rewrites.winograd.rules import (
    FILTERING_RULE,
    INPUTS,
    OUTPUTS,
    PRODUCTS,
)
from chameleon_tuner.backends.tvm.space.rules import NO_RULE, RULE

FloatArray = npt.NDArray[np.float64]

KERNEL = 3
"""Number of rows and of columns of the filters."""


@dataclass(frozen=True)
class Filtering:
    """The transformation matrices of F(m, 3).

    Attributes:
        inputs: B^T, shape (m + 2, m + 2).
        weights: G, shape (m + 2, 3).
        outputs: A^T, shape (m, m + 2).
    """

    inputs: FloatArray
    weights: FloatArray
    outputs: FloatArray

    @property
    def span(self) -> int:
        """The number of inputs of a tile in one direction, m + 2."""
        return len(self.inputs)


def _filtering(inputs: Any, weights: Any, outputs: Any) -> Filtering:
    return Filtering(*(np.array(rows, dtype=np.float64) for rows in (inputs, weights, outputs)))


FILTERINGS = {
    2: _filtering(
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: _filtering(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}
"""The matrices by m, from Lavin and Gray, section 4. Larger tiles save little more, and the numbers
in their matrices increase the rounding errors."""


def transformed_weights(weights: npt.NDArray[Any], tile: int) -> npt.NDArray[Any]:
    """Compute G w G^T for every pair of an input and an output channel, in float64.

    Args:
        weights: Weights in `HWIO` layout, shape (3, 3, inputs, outputs).
        tile: m.

    Returns:
        Weights of shape ((m + 2)^2, inputs, outputs), of the same dtype.
    """
    matrix = FILTERINGS[tile].weights
    wide = np.einsum("ar,rsio,bs->abio", matrix, weights.astype(np.float64), matrix, optimize=True)
    return np.ascontiguousarray(wide.reshape(-1, *weights.shape[2:]).astype(weights.dtype))


DTYPE = "float32"

_OUT_ELEMENTWISE_FUSABLE = 4
"""TVM's operator pattern of a convolution (`relay::kOutEWiseFusable`)."""


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution with stride 1, in NHWC layout.

    Attributes:
        batch: Number of images.
        height: Number of rows of the input.
        width: Number of columns of the input.
        inputs: Number of channels of the input.
        outputs: Number of channels of the output.
        padding: Number of zeros at the top, left, bottom and right.
    """

    batch: int
    height: int
    width: int
    inputs: int
    outputs: int
    padding: tuple[int, int, int, int]

    @property
    def rows(self) -> int:
        """The number of rows of the output."""
        return self.height + self.padding[0] + self.padding[2] - KERNEL + 1

    @property
    def columns(self) -> int:
        """The number of columns of the output."""
        return self.width + self.padding[1] + self.padding[3] - KERNEL + 1


def winograd(convolution: Convolution, tile: int) -> tirx.PrimFunc:
    """Build a function that computes a convolution by F(tile x tile, 3 x 3).

    The function takes the input (batch, height, width, inputs), the weights as
    `transformed_weights` returns them, and the output (batch, rows, columns, outputs). It has four
    blocks: the first transforms the tiles of the input with B^T; the second multiplies matrices,
    one product for each place in a tile; the third transforms the products with A^T; the last
    copies them to the output, without the part of the last tiles that exceeds it.

    The sums over a tile are straight-line code, with which a candidate is compiled in 0.22 s. As
    loops that are unrolled later, they took TVM and LLVM one second (F(4x4) of 56x56x64).
    """
    t = _Tiling(convolution, tile, FILTERINGS[tile])
    c = convolution
    with IRBuilder() as builder, T.prim_func(private=True, s_tir=True):
        T.func_name("winograd")
        T.func_attr({"tirx.noalias": True, PATTERN: _OUT_ELEMENTWISE_FUSABLE})
        data = T.arg("data", _buffer(c.batch, c.height, c.width, c.inputs))
        weights = T.arg("weights", _buffer(t.places, c.inputs, c.outputs))
        out = T.arg("out", _buffer(c.batch, c.rows, c.columns, c.outputs))
        spectra = _intermediate(t.places, t.rows, t.across, c.inputs)
        products = _intermediate(t.places, t.rows, t.across, c.outputs)
        tiled = _intermediate(c.batch, t.down * tile, t.across * tile, c.outputs)
        _transform_inputs(t, data, spectra)
        _multiply(t, spectra, weights, products)
        _transform_outputs(t, products, tiled)
        with _block("winograd", c.batch, c.rows, c.columns, c.outputs) as at:
            T.reads(tiled[at])
            T.writes(out[at])
            T.buffer_store(out, tiled[at], list(at))
    return builder.get()


@dataclass(frozen=True)
class _Tiling:
    """The division of a convolution into tiles of m x m outputs.

    The tiles are arranged in rows; the rows of all images follow one another.

    Attributes:
        convolution: The convolution.
        tile: m.
        filtering: The transformation matrices.
    """

    convolution: Convolution
    tile: int
    filtering: Filtering

    @property
    def places(self) -> int:
        """The number of inputs of a tile (its places), (m + 2)^2."""
        return self.filtering.span**2

    @property
    def down(self) -> int:
        """The number of rows of tiles in an image."""
        return -(-self.convolution.rows // self.tile)

    @property
    def across(self) -> int:
        """The number of tiles in a row."""
        return -(-self.convolution.columns // self.tile)

    @property
    def rows(self) -> int:
        """The number of rows of tiles in all images."""
        return self.convolution.batch * self.down


# TVM can move a block into a loop only if every dimension of the region that the block reads has a
# variable. For this reason some blocks have the variable `first`, which is always 0.


def _transform_inputs(t: _Tiling, data: Any, spectra: Any) -> None:
    c, span = t.convolution, range(t.filtering.span)
    with _block(INPUTS, 1, t.rows, t.across, c.inputs) as (first, row, x, k):
        n, top, left = row // t.down, row % t.down * t.tile, x * t.tile
        T.reads(data[n, 0 : c.height, 0 : c.width, k])
        T.writes(spectra[first * t.places : first * t.places + t.places, row, x, k])
        T.sblock_attr({RULE: NO_RULE})
        pixels = [[_pixel(data, c, (n, top + i, left + j, k)) for j in span] for i in span]
        for place, value in enumerate(_transformed(t.filtering.inputs, pixels)):
            T.buffer_store(spectra, value, [place, row, x, k])


def _multiply(t: _Tiling, spectra: Any, weights: Any, products: Any) -> None:
    c = t.convolution
    with _block(PRODUCTS, t.places, t.rows, t.across, c.outputs, reduced=c.inputs) as axes:
        place, row, x, k, r = axes
        at = (place, row, x, k)
        T.reads(spectra[place, row, x, r], weights[place, r, k])
        T.writes(products[at])
        with T.init():
            T.buffer_store(products, _number(0), list(at))
        product = spectra[place, row, x, r] * weights[place, r, k]
        T.buffer_store(products, products[at] + product, list(at))


def _transform_outputs(t: _Tiling, products: Any, tiled: Any) -> None:
    span, tile = t.filtering.span, t.tile
    with _block(OUTPUTS, 1, t.rows, t.across, t.convolution.outputs) as (first, row, x, k):
        n, top, left = row // t.down, row % t.down * tile, x * tile
        T.reads(products[first * t.places : first * t.places + t.places, row, x, k])
        T.writes(tiled[n, top : top + tile, left : left + tile, k])
        T.sblock_attr({RULE: FILTERING_RULE})
        sums = [
            [T.Bind(products[i * span + j, row, x, k]) for j in range(span)] for i in range(span)
        ]
        for place, value in enumerate(_transformed(t.filtering.outputs, sums)):
            T.buffer_store(tiled, value, [n, top + place // tile, left + place % tile, k])


def _pixel(data: Any, c: Convolution, at: tuple[Any, Any, Any, Any]) -> Any:
    """Return a value of the padded input, at (image, row, column, channel)."""
    n, y, x, k = at
    y, x = y - c.padding[0], x - c.padding[1]
    inside = tirx.all(y >= 0, y < c.height, x >= 0, x < c.width)
    return T.Bind(tirx.if_then_else(inside, data[n, y, x, k], _number(0)))


def _transformed(matrix: FloatArray, values: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the elements of M v M^T, row by row."""
    columns = list(zip(*values, strict=True))
    halves = [[T.Bind(_sum(row, column)) for column in columns] for row in matrix]
    return [_sum(row, half) for half in halves for row in matrix]


def _sum(coefficients: FloatArray, values: Sequence[Any]) -> Any:
    """Return the weighted sum of values, without terms whose coefficient is 0."""
    total: Any = None
    for coefficient, value in zip(coefficients.tolist(), values, strict=True):
        if coefficient:
            size = abs(coefficient)
            term = value if size == 1 else value * _number(size)
            if total is None:
                total = term if coefficient > 0 else _number(0) - term
            else:
                total = total + term if coefficient > 0 else total - term
    return total


def _number(value: float) -> Any:
    return tirx.const(value, DTYPE)


def _buffer(*shape: int) -> Any:
    return T.buffer(_wide(*shape), DTYPE)


def _intermediate(*shape: int) -> Any:
    return T.sblock_alloc_buffer(_wide(*shape), DTYPE)


def _wide(*extents: int) -> list[Any]:
    """Return extents as 64-bit integers, as Relax has them; others would prevent fusion."""
    return [tirx.IntImm("int64", extent) for extent in extents]


@contextlib.contextmanager
def _block(name: str, *spatial: int, reduced: int = 0) -> Iterator[tuple[Any, ...]]:
    """Build a block in a nest of loops, and yield its variables.

    Args:
        name: Name of the block.
        *spatial: Extents of the data-parallel loops.
        reduced: Extent of a reduction loop, the innermost one; 0 for none.
    """
    extents = _wide(*spatial, *([reduced] if reduced else []))
    kinds = [T.axis.spatial] * len(spatial) + [T.axis.reduce] * bool(reduced)
    with T.grid(*extents) as loops, T.sblock(name):
        yield tuple(
            kind(extent, loop, "int64")
            for kind, extent, loop in zip(kinds, extents, loops, strict=True)
        )
