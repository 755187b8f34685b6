"""The winners' schedules in a lowered module, and calls of kernels that take others' places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator

from chameleon_tuner.task import Finalist
from chameleon_tuner.tvm.alternatives import Alternatives, Winograd
from chameleon_tuner.tvm.lower import is_kernel_call, key_of, normalized, scheduled
from chameleon_tuner.tvm.traces import TracedSpace
from chameleon_tuner.tvm.winograd.filtering import transformed_weights

OTHER = "_winograd"
"""Behind the name of a kernel in a library that is computed in another way."""


def apply_winners(
    lowered: IRModule,
    alternatives: Alternatives,
    spaces: Mapping[str, TracedSpace],
    winners: Mapping[str, Finalist],
) -> IRModule:
    """Put the winning schedules into a lowered module.

    Args:
        lowered: its kernels, none of them scheduled.
        alternatives: from `alternatives_of`.
        spaces: of all tasks, by key.
        winners: by key of the kernel; those without a winner stay unscheduled.
    """
    updated, replaced = {}, {}
    for variable, function in lowered.functions.items():
        updated[variable] = function
        if not isinstance(function, tvm.tirx.PrimFunc):
            continue
        winner = winners.get(key_of(normalized(function)))
        if winner is None:
            continue
        key, name = winner.task.key, str(variable.name_hint)
        if not winner.task.computes:
            updated[variable] = scheduled(function, spaces[key], winner.configuration)
            continue
        others = alternatives[winner.task.kernel]
        other = next(f for f in others if key_of(normalized(f)) == key)
        replaced[name] = scheduled(other, spaces[key], winner.configuration)
    return _replace_calls(IRModule(updated, attrs=lowered.attrs), replaced)


def _replace_calls(lowered: IRModule, chosen: Mapping[str, Any]) -> IRModule:
    """Let `main` call other functions, with transformed weights.

    Args:
        lowered: its kernels.
        chosen: scheduled alternatives, by the names of those whose calls they take.
    """
    if not chosen:
        return lowered
    replacer = _Replacer(lowered, chosen)
    main = replacer.visit_expr(lowered["main"])
    module = replacer.builder_.get()
    functions = {
        variable: main if variable.name_hint == "main" else function
        for variable, function in module.functions.items()
        if variable.name_hint not in chosen
    }
    return IRModule(functions, attrs=lowered.attrs)


@mutator
class _Replacer(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Calls scheduled alternatives in place of the functions that they stand for."""

    def __init__(self, module: IRModule, chosen: Mapping[str, Any]) -> None:
        super().__init__(module)
        self._chosen = chosen
        self._added: dict[str, Any] = {}

    def visit_call_(self, call: Any) -> Any:
        """The call of the alternative, its weights transformed; or the call as it was."""
        call = super().visit_call_(call)
        name = str(call.args[0].name_hint) if is_kernel_call(call) else ""
        if name not in self._chosen:
            return call
        function = self._chosen[name]
        if name not in self._added:
            self._added[name] = self.builder_.add_func(function, f"{name}{OTHER}")
        way = Winograd.of(function)
        assert way is not None  # noqa: S101 - what is chosen is marked
        arguments = list(call.args[1].fields)
        weights = arguments[way.weight].value.numpy()
        arguments[way.weight] = relax.const(transformed_weights(weights, way.tile))
        return relax.call_tir(self._added[name], arguments, call.ty_args[0])
