"""MetaSchedule's schedule rule of a depthwise separable convolution in one kernel.

It is found by its name, by whoever generates a space in this process.
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from chameleon_tuner.tvm.sketching import (
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
"""The rule's name, which the block of the last convolution is annotated with."""


def separable_sketches(schedule: Schedule, pointwise: Any) -> list[Schedule]:
    """Some rows of the output at a time, with all that they need.

    Where an image is widened first there are two sketches: what the depthwise convolution reads is
    written with its padding, or padded in a pass of its own. The first copies nothing, the second
    has tiles that divide the columns of the image: those with padding may be a prime.

    Args:
        schedule: of a function from `merge`.
        pointwise: its last convolution, which has this rule.
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
    """The convolution before a pointwise one, and what follows that, as one block.

    Between them is TVM's padding, which pads nothing here: it is gone afterwards.
    """
    copy = schedule.get_producers(convolution)[0]
    last = schedule.get_producers(copy)[0]
    schedule.compute_inline(copy)
    return _convolution_of(schedule, last), last


def _widening(schedule: Schedule, padding: Any) -> tuple[Any, Any] | None:
    """The convolution before the depthwise one and what follows it; None where there is none."""
    producers = schedule.get_producers(padding)
    if not producers:
        return None
    convolution = _convolution_of(schedule, producers[0])
    schedule.compute_inline(schedule.get_producers(convolution)[0])
    return convolution, producers[0]


def _convolution_of(schedule: Schedule, last: Any) -> Any:
    """The convolution that a block follows; what is between them is inlined into that."""
    found = [last]
    for block in found:
        if schedule.get(block).init is not None:
            break
        found += schedule.get_producers(block)
    inline_between(schedule, block, last)
    return block


def _computed_at(schedule: Schedule, row: Any, last: Any, convolution: Any) -> None:
    """A convolution and what follows it at some rows: tiles of columns and vectors of channels.

    A tile's sums are all in registers, so its columns and channels are innermost.
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
    """Channels in two loops, the inner one of whole vectors: others are several times as slow."""
    lanes = lanes_of(int(schedule.get(channel).extent))
    vectors, lane = schedule.split(channel, [None, lanes])
    factors = schedule.sample_perfect_tile(vectors, 2, MOST_INNERMOST // lanes)
    outer, inner = schedule.split(vectors, factors)
    return [outer, schedule.fuse(inner, lane)]
