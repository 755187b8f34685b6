"""The weights of a Relax module: folding their layout changes, and making them parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator

INLINE_ELEMENTS = 64
"""Constants with at most this number of elements stay in the library's code."""


def is_constant(expression: Any) -> bool:
    """Return whether an expression is a tensor whose value is known at compile time."""
    return hasattr(getattr(expression, "value", None), "numpy")


@mutator
class _LayoutFolder(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """A mutator that evaluates `permute_dims` and `reshape` of constants."""

    def visit_call_(self, call: Any) -> Any:
        """Return the resulting constant, or the call if there is none."""
        call = super().visit_call_(call)
        name = getattr(call.op, "name", "")
        if name not in ("relax.permute_dims", "relax.reshape"):
            return call
        data = self._constant(call.args[0])
        if data is None:
            return call
        array = data.value.numpy()
        if name == "relax.permute_dims":
            axes = call.attrs.axes
            array = np.transpose(array, None if axes is None else [int(axis) for axis in axes])
        else:
            array = array.reshape([int(extent) for extent in call.args[1].values])
        return relax.const(np.ascontiguousarray(array), array.dtype.name)

    def _constant(self, expression: Any) -> Any:
        if isinstance(expression, relax.Var):
            expression = self.lookup_binding(expression)
        return expression if is_constant(expression) else None


@mutator
class _WeightTaker(PyExprMutator):  # type: ignore[misc]
    """A mutator that replaces large constants by variables.

    Attributes:
        taken: The tensors of the constants, and the variables that replace them.
    """

    def __init__(self, module: IRModule) -> None:
        super().__init__(module)
        self.taken: list[tuple[Any, Any]] = []

    def visit_generic_const_(self, constant: Any) -> Any:
        """Return the variable that replaces a large constant; a small constant is kept."""
        if not is_constant(constant) or math.prod(constant.value.shape) <= INLINE_ELEMENTS:
            return constant
        for tensor, variable in self.taken:
            if tensor.same_as(constant.value):
                return variable
        variable = relax.Var(f"weight{len(self.taken)}", constant.ty)
        self.taken.append((constant.value, variable))
        return variable


def fold_layouts(module: IRModule) -> IRModule:
    """Evaluate the transposes and reshapes of weights with NumPy.

    TVM's `FoldConstant` does the same, but compiles a kernel for every shape, which takes 2.6 s for
    ResNet-18.
    """
    return _with_main(module, _LayoutFolder(module).visit_expr(module["main"]))


def take_out_weights(module: IRModule) -> tuple[IRModule, list[Any]]:
    """Make the large constants of `main` its last parameters.

    Returns:
        The module, and the weights in the order of the new parameters.
    """
    taker = _WeightTaker(module)
    main = taker.visit_expr(module["main"])
    parameters = [*main.params, *(variable for _, variable in taker.taken)]
    changed = relax.Function(parameters, main.body, main.ret_ty, main.is_pure, main.attrs)
    return _with_main(module, changed), [tensor for tensor, _ in taker.taken]


def _with_main(module: IRModule, main: Any) -> IRModule:
    functions = {
        variable: main if variable.name_hint == "main" else function
        for variable, function in module.functions.items()
    }
    return IRModule(functions, attrs=module.attrs)
