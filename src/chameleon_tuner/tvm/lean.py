"""TVM's lowering without the passes that cost time and change no kernel."""

from __future__ import annotations

import tvm
from tvm.target import Target

_CPU_PASSES = ("s_tir.RenormalizeSplitPattern", "tirx.RemoveNoOp")
_CPU_CONFIG = {"tirx.disable_cse_tir": True}


def lean_lowering(target: Target, opt_level: int = 2) -> tvm.transform.PassContext:
    """The context that candidates are compiled in, and deployed.

    On a CPU what runs over the unrolled body and what LLVM does anyway is left out: compiling and
    loading took 0.82 of the time on the paper's resnet18-6, and 12 of its fastest kernels ran at
    0.994 of theirs, geomean. Without simplifying after unrolling kernels were up to 4.6 times as
    slow: `benchmarks/lowering.py`. On a GPU nothing is left out: nothing was measured there.

    Args:
        target: what is compiled for.
        opt_level: of the context; 2 is TVM's own.
    """
    if target.kind.name != "llvm":
        return tvm.transform.PassContext(opt_level=opt_level)
    return tvm.transform.PassContext(
        opt_level=opt_level, disabled_pass=list(_CPU_PASSES), config=_CPU_CONFIG
    )
