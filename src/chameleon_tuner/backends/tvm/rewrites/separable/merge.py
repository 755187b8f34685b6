"""Merging the kernels of depthwise separable convolutions in a Relax module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax import transform
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.s_tir import Schedule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.graph import normalized
from chameleon_tuner.backends.tvm.rewrites.base import Rewrite
from chameleon_tuner.backends.tvm.rewrites.separable.chains import Caches, Chain, chains_of
from chameleon_tuner.backends.tvm.rewrites.separable.rules import SEPARABLE_RULE
from chameleon_tuner.backends.tvm.space.rules import RULE
from chameleon_tuner.backends.tvm.targets import is_gpu
from chameleon_tuner.system.machine import core_cache_bytes

_NAMES = {2: "separable_conv2d", 3: "inverted_residual"}
"""Names of the merged kernels, by the number of their convolutions."""


def _merge(module: IRModule, target: Target, threads: int) -> IRModule:
    return (
        module if is_gpu(target) else merge_separable(module, Caches(core_cache_bytes(), threads))
    )


REWRITE = Rewrite(merge=_merge)


def merge_separable(module: IRModule, caches: Caches) -> IRModule:
    """Merge two or three kernels into one where they make up a separable convolution.

    Args:
        module: A module from `fuse`.
        caches: The machine's caches, which determine the kernels to merge; see `chains_of`.
    """
    blocks = [b for b in module["main"].body.blocks if isinstance(b, relax.DataflowBlock)]
    chains = [chain for block in blocks for chain in chains_of(module, block, caches)]
    if not chains:
        return module
    merger = _Merger(module, chains)
    main = merger.visit_expr(module["main"])
    made = merger.builder_.get()
    made["main"] = main
    fused = transform.FuseTIR()(made)
    known = {variable.name_hint for variable in module.functions}
    functions = {
        variable: function if variable.name_hint in known else _ruled(function)
        for variable, function in fused.functions.items()
    }
    passes = [transform.DeadCodeElimination(), transform.AttachAttrLayoutFreeBuffers()]
    return tvm.transform.Sequential(passes)(IRModule(functions, attrs=fused.attrs))


@mutator
class _Merger(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """A mutator that replaces the last call of each chain by a call that does all of the chain."""

    def __init__(self, module: IRModule, chains: Sequence[Chain]) -> None:
        super().__init__(module)
        self._chains = chains

    def visit_call_(self, call: Any) -> Any:
        """Return the call of a merged function for the last call of a chain; others unchanged."""
        ending = [chain for chain in self._chains if chain[-1].value.same_as(call)]
        if not ending:
            return super().visit_call_(call)
        function, arguments = _one_function(ending[0])
        variable = self.builder_.add_func(function, _NAMES[len(ending[0])])
        return relax.Call(variable, [self.visit_expr(argument) for argument in arguments])


def _one_function(chain: Chain) -> tuple[relax.Function, list[Any]]:
    """Return a function with the calls of a chain, for TVM to fuse, and its arguments."""
    made = {binding.var for binding in chain}
    arguments = [a for binding in chain for a in binding.value.args[1].fields if a not in made]
    inner = {a: relax.Var(f"p{number}", a.ty) for number, a in enumerate(dict.fromkeys(arguments))}
    outer, parameters = list(inner), list(inner.values())
    builder = relax.BlockBuilder()
    with builder.function("chain", parameters, attrs={"Primitive": True}):
        with builder.dataflow():
            for binding in chain:
                call = binding.value
                mine = [inner[argument] for argument in call.args[1].fields]
                emit = builder.emit_output if binding is chain[-1] else builder.emit
                inner[binding.var] = emit(relax.call_tir(call.args[0], mine, call.ty_args[0]))
        builder.emit_func_output(inner[chain[-1].var])
    return builder.get()["chain"], outer


def _ruled(function: Any) -> Any:
    """Return the function with its last convolution annotated with the schedule rule."""
    schedule = Schedule(normalized(function))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))  # `FuseTIR` names it so
    convolutions = [block for block in blocks if schedule.get(block).init is not None]
    schedule.annotate(convolutions[-1], RULE, SEPARABLE_RULE)
    return schedule.mod["main"].without_attr("global_symbol")
