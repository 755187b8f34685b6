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
from chameleon_tuner.tvm.kernels import is_gpu, launchable
from chameleon_tuner.tvm.lean import lean_lowering
from chameleon_tuner.tvm.traces import TracedSpace

CPU_LAYOUTS = {"relax.nn.conv2d": ["NHWC", "HWIO"]}
"""Convolutions with channels innermost vectorise: measured 1.3 times faster than NCHW."""


def lower(module: IRModule, target: Target) -> IRModule:
    """Fuse a model into kernels, each a PrimFunc, with weights free to be re-laid-out.

    `main` keeps its signature: what a layout change needs at the ends is part of the module.
    """
    layout = [] if is_gpu(target) else [transform.ConvertLayout(CPU_LAYOUTS)]
    imported = [
        transform.DecomposeOpsForInference(),
        transform.CanonicalizeBindings(),
        *layout,
        transform.CanonicalizeBindings(),
    ]
    passes = [
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
        # Reshapes become views of the same memory: no kernels, and nothing to tune.
        transform.RewriteDataflowReshape(),
        transform.DeadCodeElimination(),
        transform.AttachAttrLayoutFreeBuffers(),
    ]
    with target, tvm.transform.PassContext(opt_level=3):
        module = fold_layouts(tvm.transform.Sequential(imported)(module))
        return tvm.transform.Sequential(passes)(module)


def normalized(function: Any) -> IRModule:
    """A PrimFunc as the module of a task: alone, named `main`."""
    return meta_schedule.tune_context._normalize_mod(function)


def key_of(module: IRModule) -> str:
    """The identity of a task's module, the same in every process."""
    return str(meta_schedule.utils.shash2hex(module))


def apply_winners(
    lowered: IRModule, spaces: Mapping[str, TracedSpace], winners: Mapping[str, Configuration]
) -> IRModule:
    """Put the winning schedules into a lowered module.

    Args:
        lowered: from `lower`.
        spaces: of its tasks, by key.
        winners: by key of the task; kernels without a winner stay unscheduled.
    """
    updated = {}
    for variable, function in lowered.functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            key = key_of(normalized(function))
            if key in winners:
                function = _scheduled(function, spaces[key], winners[key])
        updated[variable] = function
    return IRModule(updated, attrs=lowered.attrs)


def _scheduled(function: Any, space: TracedSpace, winner: Configuration) -> Any:
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
        module: from `apply_winners`, or from `lower` for the untuned kernels.
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
