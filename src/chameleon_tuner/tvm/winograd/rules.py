"""MetaSchedule's schedule rule of a minimal filtering.

It is found by its name, by whoever generates a space in this process.
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from chameleon_tuner.tvm.sketching import alone, followed, lanes_of, leave, register, split

FILTERING_RULE = "winograd"
"""The rule's name, which the block of the outputs is annotated with."""

INPUTS, PRODUCTS, OUTPUTS = "winograd_inputs", "winograd_products", "winograd_outputs"
"""The blocks: in this order, each has its values from the one before it."""


def _schedule(schedule: Schedule, outputs: Any) -> list[Schedule]:
    """Two sketches: all tiles at once, their products tiled by MetaSchedule; and row by row.

    Of large images the transformed inputs and the products of all tiles fit no cache; those of a
    row of tiles do.

    Args:
        schedule: of a function from `winograd`, alone or with what follows the convolution.
        outputs: its block of that name, which has this rule.
    """
    last = followed(schedule, outputs)
    whole = schedule.copy()
    _transforms(whole, outputs, last)
    return [whole, *_by_rows(schedule, outputs, last)]


register(FILTERING_RULE, _schedule)


def _by_rows(schedule: Schedule, outputs: Any, last: Any) -> list[Schedule]:
    """Everything of a row of tiles before anything of the next; none where there is one row."""
    products = schedule.get_sblock(PRODUCTS)
    row = schedule.get_loops(schedule.get_sblock(INPUTS))[1]
    if int(schedule.get(row).extent) == 1:
        return []
    for block in (products, outputs):
        schedule.reverse_compute_at(block, row, preserve_unit_loops=True)
    _transforms(schedule, outputs, last)
    leave(schedule, products)
    _, _, tile, output, channel = schedule.get_loops(products)[-5:]
    tiles, outs, channels = (split(schedule, loop) for loop in (tile, output, channel))
    schedule.reorder(outs[0], tiles[0], *channels, tiles[1], outs[1])
    return [schedule]


def _transforms(schedule: Schedule, outputs: Any, last: Any) -> None:
    """Inputs and outputs a vector of channels at a time; with each tile what follows it."""
    _vectorized(schedule, schedule.get_sblock(INPUTS))
    schedule.reverse_compute_at(last, _vectorized(schedule, outputs))
    row, column, lanes = schedule.get_loops(last)[-3:]
    schedule.unroll(row)
    schedule.unroll(column)
    _vectorize(schedule, lanes)


def _vectorized(schedule: Schedule, block: Any) -> Any:
    """Vectorise a block over its channels, its innermost loop; the loop around the vectors."""
    channel = schedule.get_loops(block)[-1]
    extent = int(schedule.get(channel).extent)
    outer, inner = schedule.split(channel, [None, lanes_of(extent)])
    _vectorize(schedule, inner)
    return outer


def _vectorize(schedule: Schedule, loop: Any) -> None:
    """Vectorise a loop and no other; see `alone`."""
    if int(schedule.get(loop).extent) > 1:
        schedule.vectorize(loop)
    alone(schedule, loop)
