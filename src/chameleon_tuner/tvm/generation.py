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


_KNOWN: dict[str, PostOrderApply] = {}
"""What generates spaces, by target: asking LLVM what a CPU has takes 20 ms."""


def generation(module: IRModule, target: Target) -> meta_schedule.TuneContext:
    """What generates the design space of a module: TVM's rules and postprocessors of the target."""
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
