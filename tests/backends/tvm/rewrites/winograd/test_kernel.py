from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.backends.tvm.lower.kernel import compile_as_is
from chameleon_tuner.backends.tvm.rewrites.winograd.kernel import (
    FILTERINGS,
    Convolution,
    transformed_weights,
    winograd,
)
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.ports.handler import RejectedError

import tvm  # isort: skip

SHAPES = {
    "same": Convolution(1, 8, 8, 16, 32, (1, 1, 1, 1)),
    "last tiles are cut": Convolution(1, 7, 10, 16, 16, (1, 1, 1, 1)),
    "valid": Convolution(1, 10, 9, 16, 16, (0, 0, 0, 0)),
    "uneven": Convolution(1, 9, 8, 16, 24, (2, 0, 1, 3)),
    "batch": Convolution(3, 6, 6, 16, 16, (1, 1, 1, 1)),
    "channels without a vector": Convolution(1, 8, 8, 17, 19, (1, 1, 1, 1)),
    "one tile": Convolution(1, 2, 2, 16, 16, (1, 1, 1, 1)),
}


def expected(c: Convolution, data: np.ndarray, weights: np.ndarray) -> np.ndarray:
    top, left, bottom, right = c.padding
    padded = np.pad(data, ((0, 0), (top, bottom), (left, right), (0, 0))).astype(np.float64)
    return sum(
        padded[:, r : r + c.rows, s : s + c.columns] @ weights[r, s]
        for r in range(3)
        for s in range(3)
    )


def space_of(c: Convolution, tile: int) -> TracedSpace:
    function = winograd(c, tile).with_attr("global_symbol", "main")
    function = function.with_attr("layout_free_buffers", [1])
    return TracedSpace(tvm.IRModule({"main": function}), resolve_target("auto", 2))


@pytest.mark.parametrize("tile", sorted(FILTERINGS))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_sketch_computes_the_convolution(shape: str, tile: int) -> None:
    c, rng = SHAPES[shape], np.random.default_rng(0)
    data = rng.random((c.batch, c.height, c.width, c.inputs), dtype=np.float32) - 0.5
    weights = rng.random((3, 3, c.inputs, c.outputs), dtype=np.float32) - 0.5
    space = space_of(c, tile)
    wanted = expected(c, data, weights)
    left = set(range(len(space.design.sketches)))
    for configuration in space.design.configurations(space.design.sample(200, rng)):
        if configuration.sketch not in left:
            continue
        try:
            module = space.replay(configuration).schedule.mod
        except RejectedError:
            continue
        left.discard(configuration.sketch)
        arguments = [data, transformed_weights(weights, tile), np.zeros_like(wanted, np.float32)]
        tensors = [tvm.runtime.tensor(array) for array in arguments]
        compile_as_is(module, space.target)(*tensors)
        found = tensors[-1].numpy()
        assert np.abs(found - wanted).max() <= 2e-5 * np.abs(wanted).max()
    assert not left


def test_rows_of_tiles_are_a_sketch_where_there_are_some() -> None:
    several, one = space_of(SHAPES["same"], 4), space_of(SHAPES["one tile"], 4)
    assert len(several.design.sketches) == len(one.design.sketches) + 1
    spatial = [knob.spatial for knob in several.design.sketches[-1].knobs[:3]]
    assert spatial == [True, True, False]  # columns of tiles, outputs, inputs
