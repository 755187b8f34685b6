"""The schedule rule for a depthwise separable convolution in one kernel.

Importing this module registers the rule, and MetaSchedule finds it by its name.
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from chameleon_tuner.backends.tvm.space.rules import (
    MOST_INNERMOST,
    alone,
    followed,
    inline_between,
    lanes_of,
    leave,
    register,
    split,
)

SEPARABLE_RULE = "separable"
"""Name of the rule, with which the block of the last convolution is annotated."""


def separable_sketches(schedule: Schedule, pointwise: Any) -> list[Schedule]:
    """Return sketches that compute some rows of the output at a time, with all that they need.

    With a pointwise convolution before the depthwise one there are two sketches. In the first the
    input of the depthwise convolution is written with its padding, and nothing is copied. In the
    second it is padded in a pass of its own. There tiles divide the number of columns of the image;
    the number of columns with padding may be a prime.

    Args:
        schedule: A schedule of a function from `merge_separable`.
        pointwise: Block of the last convolution, which is annotated with this rule.
    """
    last = followed(schedule, pointwise)
    depthwise, between = _before(schedule, pointwise)
    _, *image, ry, rx, channel = schedule.get_loops(pointwise)
    (row, rows), (column, columns), (output, outputs) = (split(schedule, loop) for loop in image)
    inputs = split(schedule, channel)
    schedule.reorder(row, rows, column, output, ry, rx, *inputs, columns, outputs)
    schedule.reverse_compute_at(last, output, preserve_unit_loops=True)
    leave(schedule, pointwise, last)
    padding = schedule.get_producers(depthwise)[0]
    widening = _widening(schedule, padding)
    _computed_at(schedule, row, between, depthwise)
    leave(schedule, padding)
    if widening is None:
        location = schedule.sample_compute_location(padding)
        schedule.compute_at(padding, location, preserve_unit_loops=True)
        return [schedule]
    convolution, widened = widening
    padded = schedule.copy()
    padded.compute_inline(widened)
    _computed_at(padded, row, padding, convolution)
    schedule.compute_at(padding, row, preserve_unit_loops=True)
    _computed_at(schedule, row, widened, convolution)
    return [padded, schedule]


register(SEPARABLE_RULE, separable_sketches)


def _before(schedule: Schedule, convolution: Any) -> tuple[Any, Any]:
    """Return the convolution before a pointwise one, and the last block between the two.

    The other blocks between the two are inlined, also TVM's padding, which pads nothing here.
    """
    copy = schedule.get_producers(convolution)[0]
    last = schedule.get_producers(copy)[0]
    schedule.compute_inline(copy)
    return _convolution_of(schedule, last), last


def _widening(schedule: Schedule, padding: Any) -> tuple[Any, Any] | None:
    """Return the convolution before the padding, and the block between them; None without one."""
    producers = schedule.get_producers(padding)
    if not producers:
        return None
    convolution = _convolution_of(schedule, producers[0])
    schedule.compute_inline(schedule.get_producers(convolution)[0])
    return convolution, producers[0]


def _convolution_of(schedule: Schedule, last: Any) -> Any:
    """Return the convolution before a block; inline the blocks between them into the block."""
    found = [last]
    for block in found:
        if schedule.get(block).init is not None:
            break
        found += schedule.get_producers(block)
    inline_between(schedule, block, last)
    return block


def _computed_at(schedule: Schedule, row: Any, last: Any, convolution: Any) -> None:
    """Move a convolution and the block after it into the loop over rows, and tile both.

    The tiles have some columns, and vectors of channels. Columns and channels of a tile are the
    innermost loops, so that all sums of the tile stay in registers.

    Args:
        schedule: The schedule.
        row: The loop over rows.
        last: The block after the convolution.
        convolution: The convolution.
    """
    schedule.compute_at(last, row, preserve_unit_loops=True)
    *_, column, channel = schedule.get_loops(last)
    (column, columns), (vector, vectors) = split(schedule, column), _vectors(schedule, channel)
    schedule.reorder(column, vector, columns, vectors)
    alone(schedule, columns)
    schedule.compute_at(convolution, vector, preserve_unit_loops=True)
    *_, columns, vectors, ry, rx, channel = schedule.get_loops(convolution)
    schedule.reorder(ry, rx, channel, columns, vectors)
    alone(schedule, columns)
    leave(schedule, last, convolution)


def _vectors(schedule: Schedule, channel: Any) -> list[Any]:
    """Split a loop over channels in two, the inner one of whole vectors.

    With an inner loop of any other length kernels are several times as slow.
    """
    lanes = lanes_of(int(schedule.get(channel).extent))
    vectors, lane = schedule.split(channel, [None, lanes])
    factors = schedule.sample_perfect_tile(vectors, 2, MOST_INNERMOST // lanes)
    outer, inner = schedule.split(vectors, factors)
    return [outer, schedule.fuse(inner, lane)]
