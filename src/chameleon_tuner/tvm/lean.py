"""TVM's lowering without the passes that cost time and make no kernel faster."""

from __future__ import annotations

import tvm
from tvm.target import Target

_CPU_PASSES = ("s_tir.RenormalizeSplitPattern", "tirx.RemoveNoOp")
_CPU_CONFIG = {"tirx.disable_cse_tir": True}
_UNCHECKED = {"tirx.disable_assert": True}


def lean_lowering(
    target: Target, opt_level: int = 2, *, checked: bool = True
) -> tvm.transform.PassContext:
    """The context that candidates are compiled in, and deployed.

    On a CPU what runs over the unrolled body and what LLVM does anyway is left out: compiling and
    loading took 0.82 of the time on the paper's resnet18-6, and 12 of its fastest kernels ran at
    0.994 of theirs, geomean. Eliminating common subexpressions makes some of the fastest with
    AVX-512 three times as slow (vgg16-2 on a Zen 5). Without simplifying after unrolling kernels
    were up to 4.6 times as slow: `benchmarks/lowering.py`. On a GPU nothing is left out: nothing
    was measured there.

    Args:
        target: what is compiled for.
        opt_level: of the context; 2 is TVM's own.
        checked: whether kernels check their arguments; see `unchecked`.
    """
    if target.kind.name != "llvm":
        return tvm.transform.PassContext(opt_level=opt_level)
    return tvm.transform.PassContext(
        opt_level=opt_level,
        disabled_pass=list(_CPU_PASSES),
        config=_CPU_CONFIG if checked else {**_CPU_CONFIG, **_UNCHECKED},
    )


def unchecked(target: Target) -> tvm.transform.PassContext:
    """TVM's own lowering, of kernels that do not check their arguments.

    Shapes, strides, alignment and device of each: these checks are a third of a small kernel's
    code, and 25 ms of compiling it (`benchmarks/lowering.py`). Who calls a kernel of a task with
    arguments that were made for it does without; a library that is deployed does not, since a
    tensor of its user's that begins within its memory would give wrong outputs.
    """
    config = _UNCHECKED if target.kind.name == "llvm" else {}
    return tvm.transform.PassContext(opt_level=2, config=config)
