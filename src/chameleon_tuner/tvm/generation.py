"""MetaSchedule's generation of a design space, with the sketches in one order on every CPU."""

from __future__ import annotations

from typing import Any

from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.schedule_rule import InlineConstantScalars, MultiLevelTiling
from tvm.s_tir.meta_schedule.space_generator import PostOrderApply
from tvm.target import Target

# The traces' structure does not depend on it, the decisions that are thrown away do.
_SEED = 1


def generation(module: IRModule, target: Target) -> meta_schedule.TuneContext:
    """What generates the design space of a module: TVM's rules and postprocessors of the target."""
    context = _context(module, target, "post-order-apply")
    known = context.space_generator
    rules = _in_step(list(known.sch_rules))
    if len(rules) == len(known.sch_rules):
        return context
    padded = PostOrderApply(
        sch_rules=rules, postprocs=known.postprocs, mutator_probs=known.mutator_probs
    )
    return _context(module, target, padded)


def _in_step(rules: list[Any]) -> list[Any]:
    """The rules, with an odd number of them before the tiling.

    `PostOrderApply` takes what it has from a stack, so every rule turns the sketches round, also
    one that does nothing. Where there are instructions for sums of products of bytes (AVX-512, not
    AVX2) a rule more precedes the tiling: without another on other CPUs the sketches would be
    numbered otherwise there, and a prior of theirs mistake one for the other. Scalars that are
    constant have been inlined by then.
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
