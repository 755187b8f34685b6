"""MetaSchedule's schedule rules: generating a design space, and what this project's rules share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import tvm_ffi
from tvm.ir import IRModule
from tvm.s_tir import Schedule, meta_schedule
from tvm.s_tir.meta_schedule.schedule_rule import InlineConstantScalars, MultiLevelTiling
from tvm.s_tir.meta_schedule.space_generator import PostOrderApply
from tvm.target import Target

_SEED = 1
"""Seed of the generation. The structure of the traces does not depend on it; the decisions do, and
those are replaced."""

_KNOWN: dict[str, PostOrderApply] = {}
"""Space generators by target: asking LLVM for the features of a CPU takes 20 ms."""


def generation(module: IRModule, target: Target) -> meta_schedule.TuneContext:
    """Return a context that generates the design space of a module by TVM's rules of the target."""
    key = str(target)
    if key not in _KNOWN:
        default = _context(module, target, "post-order-apply").space_generator
        _KNOWN[key] = PostOrderApply(
            sch_rules=_in_step(list(default.sch_rules)),
            postprocs=default.postprocs,
            mutator_probs=default.mutator_probs,
        )
    return _context(module, target, _KNOWN[key])


def _in_step(rules: list[Any]) -> list[Any]:
    """Return the rules with an odd number of them before the tiling.

    `PostOrderApply` takes the sketches from a stack, so every rule reverses their order, even one
    that does nothing. Where there are instructions for sums of products of bytes (AVX-512, not
    AVX2) one more rule precedes the tiling. Without another rule in its place the sketches would be
    numbered differently on other CPUs, and a prior would mistake one sketch for the other. The
    added rule does nothing: constant scalars have been inlined by then.
    """
    places = [n for n, rule in enumerate(rules) if isinstance(rule, MultiLevelTiling)]
    if places and places[0] % 2 == 0:
        rules.insert(places[0], InlineConstantScalars())
    return rules


def _context(module: IRModule, target: Target, generator: Any) -> meta_schedule.TuneContext:
    return meta_schedule.TuneContext(
        mod=module,
        target=target,
        space_generator=generator,
        search_strategy=None,
        task_name="main",
        rand_state=_SEED,
        num_threads=1,
    )


RULE, NO_RULE = "schedule_rule", "None"
"""MetaSchedule's annotation with the name of a block's own rule, and the name for no rule."""

LANES = 16
"""Number of float32 channels in one vector of AVX-512, or in two vectors of AVX2."""

_LEAST_LANES = 4
"""Smallest number of channels that is worth a vector: one vector of SSE or NEON."""

MOST_INNERMOST = 64
"""Largest innermost factor of a tile: MetaSchedule's limit on CPUs, four vectors of AVX-512."""


Rule: TypeAlias = Callable[[Schedule, Any], list[Schedule]]
"""Returns sketches, from the schedule of a function and the block annotated with the rule."""


def register(name: str, rule: Rule) -> None:
    """Register a rule, by its name, for all design spaces that are generated in this process."""
    tvm_ffi.register_global_func(f"s_tir.meta_schedule.cpu.{name}", rule, override=True)


def split(schedule: Schedule, loop: Any) -> list[Any]:
    """Split a loop in two; the factors become a knob."""
    factors = schedule.sample_perfect_tile(loop, 2, MOST_INNERMOST)
    return list(schedule.split(loop, factors))


def lanes_of(extent: int) -> int:
    """Return how many of `extent` channels are computed at once, a divisor of `extent`.

    They fill whole vectors if there is such a divisor.
    """
    common = math.gcd(extent, LANES)
    if common >= _LEAST_LANES:
        return common
    return max(lanes for lanes in range(1, LANES + 1) if extent % lanes == 0)


def alone(schedule: Schedule, loop: Any) -> None:
    """Keep MetaSchedule from fusing a loop with the vector loop inside it, or vectorising it.

    Where one vector has all channels, MetaSchedule's postprocessor fuses the vector loop with the
    tile around it. Some lanes of a vector may then be inside the image and others outside, and TVM
    generated wrong code for vectors of such conditions. The postprocessor leaves annotated loops as
    they are.
    """
    schedule.annotate(loop, "vectorized_alone", 1)


def followed(schedule: Schedule, block: Any) -> Any:
    """Inline all blocks after a block into the last block of the function, and return that."""
    last = schedule.get_consumers(block)[0]
    while consumers := schedule.get_consumers(last):
        last = consumers[0]
    inline_between(schedule, block, last)
    return last


def inline_between(schedule: Schedule, block: Any, last: Any) -> None:
    """Inline the blocks between two blocks into the later one.

    Args:
        schedule: The schedule.
        block: The earlier block.
        last: The later block.
    """
    name = schedule.get(block).name_hint
    while True:
        between = [b for b in schedule.get_producers(last) if schedule.get(b).name_hint != name]
        if not between:
            return
        schedule.compute_inline(between[0])


def leave(schedule: Schedule, *blocks: Any) -> None:
    """Exclude blocks from all of MetaSchedule's schedule rules."""
    for block in blocks:
        if RULE in schedule.get(block).annotations:
            schedule.unannotate(block, RULE)
        schedule.annotate(block, RULE, NO_RULE)
