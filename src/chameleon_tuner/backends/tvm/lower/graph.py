"""From a Relax module to fused kernels that can be tuned, and from kernels to a compiled model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax import transform
from tvm.s_tir import meta_schedule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.code import Compiled
from chameleon_tuner.backends.tvm.lower.constants import fold_constants, take_out_weights
from chameleon_tuner.backends.tvm.lower.default import launchable, with_default_schedules
from chameleon_tuner.backends.tvm.lower.kernel import lean_lowering
from chameleon_tuner.backends.tvm.lower.mathematics import without_calls
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.backends.tvm.targets import is_gpu
from chameleon_tuner.core.configuration import Configuration

Legalizer = Callable[[relax.BlockBuilder, Any], Any]
"""Converts a call of an operator to a call of a kernel."""


CPU_LAYOUTS = {"relax.nn.conv2d": ["NHWC", "HWIO"]}
"""Layouts of operators on CPUs. Convolutions vectorise well with channels innermost: NHWC was
measured to be 1.3 times faster than NCHW."""


PATTERN = "fuses_as"
"""Name of the attribute with the operator pattern of a function, which decides what it fuses with.

A function that computes an operator in several steps has this attribute: TVM would find the pattern
of the operator only in a simpler function."""


def lay_out(module: IRModule, target: Target) -> IRModule:
    """Decompose the operators of a model and change them to the target's preferred layout.

    `main` keeps its signature: the module itself converts the layout of inputs and outputs.
    """
    layout = [] if is_gpu(target) else [transform.ConvertLayout(CPU_LAYOUTS)]
    try:
        return _decomposed(module, target, layout)
    except (ValueError, RuntimeError, MemoryError):
        # The layout of an operator cannot be inferred: the model keeps its own.
        return _decomposed(module, target, [])


def _decomposed(module: IRModule, target: Target, layout: Sequence[Any]) -> IRModule:
    passes = [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        *layout,
        transform.CanonicalizeBindings(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        return fold_constants(tvm.transform.Sequential(passes)(module))


def fuse(
    module: IRModule, target: Target, legalizers: Mapping[str, Legalizer] | None = None
) -> IRModule:
    """Fuse the operators of a model into kernels.

    Args:
        module: A module from `lay_out`.
        target: The target that was given to `lay_out`.
        legalizers: Legalizers by operator, in place of TVM's.

    Returns:
        The lowered module, in which each kernel is a PrimFunc. Kernels are marked with the weights
        whose layout a schedule may change.
    """
    passes = [
        transform.LegalizeOps(dict(legalizers or {})),
        transform.AnnotateTIROpPattern(),
        _known_patterns,
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
        # Reshapes become views of the same memory, so they need no kernels and no tuning.
        transform.RewriteDataflowReshape(),
        transform.DeadCodeElimination(),
        transform.AttachAttrLayoutFreeBuffers(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(passes)(module)


@tvm.transform.module_pass(opt_level=0)  # type: ignore[untyped-decorator]  # TVM has no types
def _known_patterns(module: IRModule, _: Any) -> IRModule:
    """Set the operator patterns of functions that have the attribute `PATTERN`."""
    functions = {
        variable: _with_known_pattern(function)
        if isinstance(function, tvm.tirx.PrimFunc)
        else function
        for variable, function in module.functions.items()
    }
    return IRModule(functions, attrs=module.attrs)


def _with_known_pattern(function: Any) -> Any:
    attributes = function.attrs or {}
    if PATTERN not in attributes:
        return function
    return function.with_attr("op_pattern", attributes[PATTERN]).without_attr(PATTERN)


def is_kernel_call(expression: Any) -> bool:
    """Return whether an expression calls a TensorIR function of its module."""
    return getattr(getattr(expression, "op", None), "name", "") == "relax.call_tir"


def normalized(function: Any) -> IRModule:
    """Return the module of a task: a PrimFunc alone, named `main`."""
    return meta_schedule.tune_context._normalize_mod(function)


def key_of(module: IRModule) -> str:
    """Return the structural hash of a task's module, which is the same in every process."""
    return str(meta_schedule.utils.shash2hex(module))


def scheduled(function: Any, space: TracedSpace, winner: Configuration) -> Any:
    """Apply the schedule of a configuration to a kernel of a lowered module.

    Args:
        function: The kernel.
        space: The space of its task.
        winner: The configuration.

    Returns:
        The scheduled kernel, with the attributes of the original one.
    """
    tuned = space.replay(winner).schedule.mod["main"]
    for name, value in function.attrs.items():
        tuned = tuned.with_attr(name, value)
    return tuned.with_attr("tirx.is_scheduled", True)


def finish(module: IRModule, target: Target) -> Compiled:
    """Convert weights to the layouts of their kernels, and choose how everything is computed.

    Args:
        module: A module from `apply_winners`, or from `fuse`; kernels without a schedule get the
            default one.
        target: The target.
    """
    passes = [
        transform.SplitLayoutRewritePreproc(),
        transform.FoldConstant(),
        transform.DeadCodeElimination(),
    ]
    with target, lean_lowering(target, opt_level=3):
        module = with_default_schedules(module, target)
        module = without_calls(tvm.transform.Sequential(passes)(module), target)
    return Compiled(*take_out_weights(module), target)


def untuned(module: IRModule, target: Target) -> Compiled:
    """Return a model as TVM compiles it without any tuning, by its `zero` pipeline."""
    with target, tvm.transform.PassContext(opt_level=3):
        module = launchable(relax.get_pipeline("zero")(fold_constants(module)), target)
    return Compiled(*take_out_weights(module), target, lean=False)
