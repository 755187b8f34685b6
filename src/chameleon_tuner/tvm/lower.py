"""From a Relax module to fused kernels ready to be tuned, and from tuned kernels to a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax import transform
from tvm.s_tir import meta_schedule
from tvm.target import Target

from chameleon_tuner.space import Configuration
from chameleon_tuner.tvm.constants import fold_layouts, take_out_weights
from chameleon_tuner.tvm.fast_math import FAST_MATH, Legalizer
from chameleon_tuner.tvm.kernels import is_gpu, launchable
from chameleon_tuner.tvm.lean import lean_lowering
from chameleon_tuner.tvm.traces import TracedSpace

CPU_LAYOUTS = {"relax.nn.conv2d": ["NHWC", "HWIO"]}
"""Convolutions with channels innermost vectorise: measured 1.3 times faster than NCHW."""


PATTERN = "fuses_as"
"""Attribute of a function that an operator was made of: the operator pattern that TVM would find,
were the function as simple as the operator."""


def lay_out(module: IRModule, target: Target) -> IRModule:
    """A model whose operators are simple and in the layout that suits the target.

    `main` keeps its signature: what a layout change needs at the ends is part of the module.
    """
    layout = [] if is_gpu(target) else [transform.ConvertLayout(CPU_LAYOUTS)]
    passes = [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        *layout,
        transform.CanonicalizeBindings(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        return fold_layouts(tvm.transform.Sequential(passes)(module))


def fuse(
    module: IRModule, target: Target, legalizers: Mapping[str, Legalizer] | None = None
) -> IRModule:
    """A model's operators fused into kernels, each a PrimFunc, with weights free to be re-laid-out.

    Args:
        module: from `lay_out`.
        target: as it was laid out for.
        legalizers: of operators that do not become what TVM makes of them.
    """
    fast = {} if is_gpu(target) else FAST_MATH
    passes = [
        transform.LegalizeOps({**fast, **(legalizers or {})}),
        transform.AnnotateTIROpPattern(),
        _known_patterns,
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
        # Reshapes become views of the same memory: no kernels, and nothing to tune.
        transform.RewriteDataflowReshape(),
        transform.DeadCodeElimination(),
        transform.AttachAttrLayoutFreeBuffers(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        return tvm.transform.Sequential(passes)(module)


@tvm.transform.module_pass(opt_level=0)  # type: ignore[untyped-decorator]  # TVM has no types
def _known_patterns(module: IRModule, _: Any) -> IRModule:
    """Corrects the patterns of functions that have a `PATTERN`."""
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
    """Whether an expression calls a TensorIR function of its module."""
    return getattr(getattr(expression, "op", None), "name", "") == "relax.call_tir"


def normalized(function: Any) -> IRModule:
    """A PrimFunc as the module of a task: alone, named `main`."""
    return meta_schedule.tune_context._normalize_mod(function)


def key_of(module: IRModule) -> str:
    """The identity of a task's module, the same in every process."""
    return str(meta_schedule.utils.shash2hex(module))


def scheduled(function: Any, space: TracedSpace, winner: Configuration) -> Any:
    """A kernel of a lowered module with the schedule of a configuration."""
    tuned = space.replay(winner).schedule.mod["main"]
    for name, value in function.attrs.items():
        tuned = tuned.with_attr(name, value)
    return tuned.with_attr("tirx.is_scheduled", True)


@dataclass(frozen=True)
class Compiled:
    """A model as code and weights.

    Attributes:
        executable: its `main` takes the model's inputs, then the weights.
        weights: in order.
    """

    executable: relax.VMExecutable
    weights: Sequence[Any]


def finish(module: IRModule, target: Target) -> Compiled:
    """Fold re-laid-out weights, plan the memory and compile.

    Args:
        module: from `apply_winners`, or from `fuse` for the untuned kernels.
        target: what it is compiled for.
    """
    passes = [
        transform.SplitLayoutRewritePreproc(),
        transform.FoldConstant(),
        transform.DeadCodeElimination(),
    ]
    with target, lean_lowering(target, opt_level=3):
        return _compiled(tvm.transform.Sequential(passes)(module), target)


def untuned(module: IRModule, target: Target) -> Compiled:
    """What TVM makes of a model without any tuning: its `zero` pipeline, then compiled."""
    with target, tvm.transform.PassContext(opt_level=3):
        return _compiled(relax.get_pipeline("zero")(fold_layouts(module)), target)


def _compiled(module: IRModule, target: Target) -> Compiled:
    module, weights = take_out_weights(launchable(module, target))
    return Compiled(relax.build(module, target=target, relax_pipeline=_finalize()), weights)


def _finalize() -> tvm.transform.Pass:
    """From call_tir to bytecode, with memory planned statically."""
    return tvm.transform.Sequential(
        [
            transform.RewriteDataflowReshape(),
            transform.ToNonDataflow(),
            transform.RemovePurityChecking(),
            transform.CallTIRRewrite(),
            transform.StaticPlanBlockMemory(),
            transform.LowerAllocTensor(),
            transform.KillAfterLastUse(),
            transform.LowerRuntimeBuiltin(),
            transform.ComputePrimValue(),
            transform.VMShapeLower(),
            transform.AttachGlobalSymbol(),
        ]
    )
