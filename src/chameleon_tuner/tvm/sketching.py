"""What schedule rules of this project have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import tvm_ffi
from tvm.s_tir import Schedule

RULE, NO_RULE = "schedule_rule", "None"
"""MetaSchedule's annotation of a block that has a rule of its own, and its value for no rule."""

LANES = 16
"""Channels of a vector of AVX-512; of two of AVX2."""

_LEAST_LANES = 4
"""Of a vector that is worth it: one of SSE and NEON."""

MOST_INNERMOST = 64
"""Of a tile: MetaSchedule's own limit on CPUs, four vectors of AVX-512."""


Rule: TypeAlias = Callable[[Schedule, Any], list[Schedule]]
"""Makes sketches of the schedule of a function and its block that is annotated with the rule."""


def register(name: str, rule: Rule) -> None:
    """Let MetaSchedule find a rule by its name, wherever a space is generated in this process."""
    tvm_ffi.register_global_func(f"s_tir.meta_schedule.cpu.{name}", rule, override=True)


def split(schedule: Schedule, loop: Any) -> list[Any]:
    """A loop in two, at a factor that is searched."""
    factors = schedule.sample_perfect_tile(loop, 2, MOST_INNERMOST)
    return list(schedule.split(loop, factors))


def lanes_of(extent: int) -> int:
    """How many of so many channels are computed at once: what fits whole vectors, if anything."""
    common = math.gcd(extent, LANES)
    if common >= _LEAST_LANES:
        return common
    return max(lanes for lanes in range(1, LANES + 1) if extent % lanes == 0)


def alone(schedule: Schedule, loop: Any) -> None:
    """Keep MetaSchedule from fusing a loop with the vectors inside it, or vectorising it.

    Its postprocessor fuses tiles into the vectors where a vector has all channels. What is within
    the edges differs between the lanes then, and TVM's vectors of such conditions made wrong
    outputs. It lets loops with an annotation be.
    """
    schedule.annotate(loop, "vectorized_alone", 1)


def followed(schedule: Schedule, block: Any) -> Any:
    """What follows a block, up to the end of the function, as one block."""
    last = schedule.get_consumers(block)[0]
    while consumers := schedule.get_consumers(last):
        last = consumers[0]
    inline_between(schedule, block, last)
    return last


def inline_between(schedule: Schedule, block: Any, last: Any) -> None:
    """Inline what is between a block and one that follows it into that."""
    name = schedule.get(block).name_hint
    while True:
        between = [b for b in schedule.get_producers(last) if schedule.get(b).name_hint != name]
        if not between:
            return
        schedule.compute_inline(between[0])


def leave(schedule: Schedule, *blocks: Any) -> None:
    """Keep MetaSchedule's rules from blocks."""
    for block in blocks:
        if RULE in schedule.get(block).annotations:
            schedule.unannotate(block, RULE)
        schedule.annotate(block, RULE, NO_RULE)
