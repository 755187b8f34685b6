"""The constants of a Relax module: folding what is done to them, and making weights parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator

INLINE_ELEMENTS = 64
"""Constants with at most this number of elements stay in the library's code."""


def is_constant(expression: Any) -> bool:
    """Return whether an expression is a tensor whose value is known at compile time."""
    return hasattr(getattr(expression, "value", None), "numpy")


def _axes(call: Any) -> tuple[int, ...] | None:
    axes = getattr(call.attrs, "axes", getattr(call.attrs, "axis", None))
    return None if axes is None else tuple(int(axis) for axis in axes)


def _extents(call: Any) -> list[int]:
    return [int(extent) for extent in call.args[1].values]


def _optional(number: Any) -> int | None:
    return None if number is None else int(number)


def _squeezed(call: Any, array: Any) -> Any:
    return np.squeeze(array, _axes(call))


_FOLDED: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "permute_dims": lambda call, x: np.transpose(x, _axes(call)),
        "reshape": lambda call, x: x.reshape(_extents(call)),
        "broadcast_to": lambda call, x: np.broadcast_to(x, _extents(call)),
        "expand_dims": lambda call, x: np.expand_dims(x, _axes(call) or ()),
        "squeeze": _squeezed,
        "astype": lambda call, x: x.astype(str(call.attrs.dtype)),
        "negative": lambda _, x: -x,
        "add": lambda _, x, y: x + y,
        "sqrt": lambda _, x: np.sqrt(x),
        "subtract": lambda _, x, y: x - y,
        "multiply": lambda _, x, y: x * y,
        "less": lambda _, x, y: x < y,
        "shape_to_tensor": lambda _, shape: shape,
        "take": lambda call, x, at: np.take(x, at, _optional(call.attrs.axis)),
        "where": lambda _, chosen, x, y: np.where(chosen, x, y),
    }
)
"""What is evaluated with NumPy where all tensors are constants, by operator."""


@mutator
class _ConstantFolder(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """A mutator that evaluates the operators of `_FOLDED` on constants."""

    def visit_call_(self, call: Any) -> Any:
        """Return the resulting constant, or the call if there is none."""
        call = super().visit_call_(call)
        fold = _FOLDED.get(getattr(call.op, "name", "").removeprefix("relax."))
        if fold is None:
            return call
        arrays = [self._array(a) for a in call.args if not isinstance(a, relax.ShapeExpr)]
        if not arrays or any(array is None for array in arrays):
            return call
        array = np.asarray(fold(call, *arrays))
        wanted = str(call.ty.dtype)
        return relax.const(array.astype(wanted, order="C", copy=False), wanted)

    def _array(self, expression: Any) -> Any:
        """Return the value of a constant, or of a shape that is known; None of anything else."""
        if isinstance(expression, relax.Var):
            bound = self.lookup_binding(expression)
            expression = expression if bound is None else bound
        if is_constant(expression):
            return expression.value.numpy()
        values = getattr(getattr(expression, "ty", None), "values", None)
        if values is None or not all(isinstance(v, tvm.tirx.IntImm) for v in values):
            return None
        return np.array([int(value) for value in values], np.int64)


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


def fold_constants(module: IRModule) -> IRModule:
    """Evaluate with NumPy what is done to constants, such as transposes of weights.

    TVM's `FoldConstant` does the same, but compiles a kernel for every shape, which takes 2.6 s for
    ResNet-18 and 12 s for a Swin transformer. It comes later, for what this leaves.
    """
    return _with_main(module, _ConstantFolder(module).visit_expr(module["main"]))


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
