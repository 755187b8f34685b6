"""A 3x3 convolution by minimal filtering as a TensorIR function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T  # noqa: N812 - the name that TVM gives it everywhere

from chameleon_tuner.tvm.lower import PATTERN
from chameleon_tuner.tvm.sketching import NO_RULE, RULE
from chameleon_tuner.tvm.winograd.filtering import FILTERINGS, KERNEL, Filtering, FloatArray
from chameleon_tuner.tvm.winograd.rules import FILTERING_RULE, INPUTS, OUTPUTS, PRODUCTS

DTYPE = "float32"

_OUT_ELEMENTWISE_FUSABLE = 4
"""TVM's operator pattern of a convolution (`relay::kOutEWiseFusable`)."""


@dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution of stride 1, channels innermost.

    Attributes:
        batch: images.
        height: rows of the input.
        width: columns of the input.
        inputs: channels of the input.
        outputs: channels of the output.
        padding: zeros at the top, left, bottom and right.
    """

    batch: int
    height: int
    width: int
    inputs: int
    outputs: int
    padding: tuple[int, int, int, int]

    @property
    def rows(self) -> int:
        """Of the output."""
        return self.height + self.padding[0] + self.padding[2] - KERNEL + 1

    @property
    def columns(self) -> int:
        """Of the output."""
        return self.width + self.padding[1] + self.padding[3] - KERNEL + 1


def winograd(convolution: Convolution, tile: int) -> tirx.PrimFunc:
    """F(tile x tile, 3 x 3) of a convolution.

    The function takes the input (batch, height, width, inputs), the weights as
    `transformed_weights` has them, and the output (batch, rows, columns, outputs). Its blocks:
    the inputs' tiles put through B^T, a product of matrices for each place of a tile, those put
    through A^T, and the output without what a last tile has too much.

    The sums over a tile are straight-line code. As loops to be unrolled they took TVM and LLVM a
    second (F(4x4) of 56x56x64); so a candidate is compiled in 0.22 s.
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
    """A convolution in tiles of m x m outputs; the tiles of all images in rows."""

    convolution: Convolution
    tile: int
    filtering: Filtering

    @property
    def places(self) -> int:
        """Of the inputs of a tile."""
        return self.filtering.span**2

    @property
    def down(self) -> int:
        """Rows of tiles in an image."""
        return -(-self.convolution.rows // self.tile)

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return -(-self.convolution.columns // self.tile)

    @property
    def rows(self) -> int:
        """Rows of tiles in all images."""
        return self.convolution.batch * self.down


# TVM moves a block where each dimension of what it reads has a variable: hence `first`, which is 0.


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
    """A value of the padded input."""
    n, y, x, k = at
    y, x = y - c.padding[0], x - c.padding[1]
    inside = tirx.all(y >= 0, y < c.height, x >= 0, x < c.width)
    return T.Bind(tirx.if_then_else(inside, data[n, y, x, k], _number(0)))


def _transformed(matrix: FloatArray, values: Sequence[Sequence[Any]]) -> list[Any]:
    """M v M^T, row by row."""
    columns = list(zip(*values, strict=True))
    halves = [[T.Bind(_sum(row, column)) for column in columns] for row in matrix]
    return [_sum(row, half) for half in halves for row in matrix]


def _sum(coefficients: FloatArray, values: Sequence[Any]) -> Any:
    """The weighted sum of some values; what is weighted with 0 is not in it."""
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
    """Extents in 64 bits, as Relax has them: else they would not fuse."""
    return [tirx.IntImm("int64", extent) for extent in extents]


@contextlib.contextmanager
def _block(name: str, *spatial: int, reduced: int = 0) -> Iterator[tuple[Any, ...]]:
    """A block within loops of these extents: its variables."""
    extents = _wide(*spatial, *([reduced] if reduced else []))
    kinds = [T.axis.spatial] * len(spatial) + [T.axis.reduce] * bool(reduced)
    with T.grid(*extents) as loops, T.sblock(name):
        yield tuple(
            kind(extent, loop, "int64")
            for kind, extent, loop in zip(kinds, extents, loops, strict=True)
        )
