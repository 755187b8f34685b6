"""The schedule rule for minimal filtering.

Importing this module registers the rule, and MetaSchedule finds it by its name.
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from chameleon_tuner.backends.tvm.space.rules import (
    alone,
    followed,
    lanes_of,
    leave,
    register,
    split,
)

FILTERING_RULE = "winograd"
"""Name of the rule, with which the block `OUTPUTS` is annotated."""

INPUTS, PRODUCTS, OUTPUTS = "winograd_inputs", "winograd_products", "winograd_outputs"
"""Names of the blocks in their order; each reads what the one before it computes."""


def _schedule(schedule: Schedule, outputs: Any) -> list[Schedule]:
    """Return two sketches: all tiles at once, and one row of tiles after another.

    In the first sketch MetaSchedule tiles the products. The second is for large images: there the
    transformed inputs and the products of all tiles do not fit into a cache, but those of one row
    of tiles do.

    Args:
        schedule: A schedule of a function from `winograd`, alone or fused with what follows.
        outputs: The block `OUTPUTS`, which is annotated with this rule.
    """
    last = followed(schedule, outputs)
    whole = schedule.copy()
    _transforms(whole, outputs, last)
    return [whole, *_by_rows(schedule, outputs, last)]


register(FILTERING_RULE, _schedule)


def _by_rows(schedule: Schedule, outputs: Any, last: Any) -> list[Schedule]:
    """Return a sketch that finishes each row of tiles before the next; none for a single row."""
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
    """Schedule both transformations by vectors of channels, and the last block tile by tile."""
    _vectorized(schedule, schedule.get_sblock(INPUTS))
    schedule.reverse_compute_at(last, _vectorized(schedule, outputs))
    row, column, lanes = schedule.get_loops(last)[-3:]
    schedule.unroll(row)
    schedule.unroll(column)
    _vectorize(schedule, lanes)


def _vectorized(schedule: Schedule, block: Any) -> Any:
    """Vectorise the innermost loop of a block, its channels; return the loop around the vectors."""
    channel = schedule.get_loops(block)[-1]
    extent = int(schedule.get(channel).extent)
    outer, inner = schedule.split(channel, [None, lanes_of(extent)])
    _vectorize(schedule, inner)
    return outer


def _vectorize(schedule: Schedule, loop: Any) -> None:
    """Vectorise a loop, and keep MetaSchedule from fusing it with others; see `alone`."""
    if int(schedule.get(loop).extent) > 1:
        schedule.vectorize(loop)
    alone(schedule, loop)
