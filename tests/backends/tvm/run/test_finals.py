"""The final of a kernel in a worker, in this process: real kernels, right ones and wrong ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm import te
from tvm.ir import IRModule

from chameleon_tuner.backends.tvm.lower.kernel import (
    argument_shapes,
    compile_by_tvm,
    compile_candidate,
    compile_deployed,
)
from chameleon_tuner.backends.tvm.run import finals as judging
from chameleon_tuner.backends.tvm.run.handler import TVMHandler
from chameleon_tuner.backends.tvm.run.workbench import WarmKernel
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import Timed

KINDS = [
    *("conv2d", "depthwise", "dense", "dense_int8", "matmul_of_primes", "softmax", "mean"),
    *("transpose", "max_pool", "scalar", "where"),
]


def some(handler: TVMHandler, name: str, count: int) -> list[Configuration]:
    design = handler.tasks.space(name).design
    return design.configurations(design.sample(count, np.random.default_rng(0)))


def judged_by(
    handler: TVMHandler,
    key: str,
    finalists: list[tuple[str, Configuration]],
    rounds: int = 1,
    tolerance: float = -1.0,
) -> list[Timed]:
    handler.finals.ready(key, finalists)
    handler.finals.contend(rounds, round_secs=0.0005)
    return handler.finals.judge(tolerance)


@pytest.mark.parametrize("name", KINDS)
def test_right_kernels_have_tiny_errors(handler: TVMHandler, name: str) -> None:
    judged = judged_by(handler, name, [(name, c) for c in some(handler, name, 3)], rounds=2)
    assert len(judged) == 4
    assert judged[0].error == 0.0
    assert [kernel.message for kernel in judged] == [""] * 4
    assert max(kernel.error for kernel in judged) < 1e-5
    assert all(len(kernel.samples) == 2 for kernel in judged)
    assert all(0 < secs < 1 for kernel in judged for secs in kernel.samples)


def dense_with_a_wrong_column() -> IRModule:
    data = te.placeholder((16, 32), name="data")
    weight = te.placeholder((48, 32), name="weight")
    k = te.reduce_axis((0, 32), "k")

    def right_but_for_one(i: Any, j: Any) -> Any:
        source = te.if_then_else(j == 7, j - 1, j)
        return te.sum(data[i, k] * weight[source, k], k)

    output = te.compute((16, 48), right_but_for_one)
    function = te.create_prim_func([data, weight, output]).with_attr("global_symbol", "main")
    return IRModule({"main": function})


def test_a_wrong_kernel_has_a_large_error(
    handler: TVMHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = TracedSpace(dense_with_a_wrong_column(), handler.tasks.space("dense").target)
    [configuration] = wrong.design.configurations(wrong.design.sample(1, np.random.default_rng(0)))
    monkeypatch.setattr(handler.tasks.space("dense"), "replay", wrong.replay)
    _, judged = judged_by(handler, "dense", [("dense", configuration)])
    assert judged.error > 0.1
    assert judged.message == ""


def test_a_finalists_failure_is_its_own(handler: TVMHandler) -> None:
    [right] = some(handler, "dense", 1)
    impossible = Configuration(77, ())
    finalists = [("dense", impossible), ("dense", right)]
    judged = judged_by(handler, "dense", finalists)
    assert [kernel.message.partition(":")[0] for kernel in judged] == ["", "RejectedError", ""]
    assert judged[1].error is None
    assert judged[1].samples == ()
    assert judged[2].error < 1e-5


def test_a_final_ends_with_the_fastest_that_is_right(handler: TVMHandler) -> None:
    judged = judged_by(handler, "dense", [("dense", c) for c in some(handler, "dense", 3)], 1, 1e-3)
    samples = [kernel.samples for kernel in judged[1:]]
    checked = [kernel.error is not None for kernel in judged[1:]]
    assert checked == [secs == min(samples) for secs in samples]


def test_what_is_checked_is_what_was_timed(
    handler: TVMHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is compiled again; the weights come in the layout that the kernel has."""
    handler.finals.ready("conv2d", [("conv2d", c) for c in some(handler, "conv2d", 3)])
    handler.finals.contend(1, 0.0005)
    timed = list(handler.finals._final.kernels)
    for kernel in timed:
        monkeypatch.setattr(kernel, "_function", lambda *arguments: None)
    assert all(kernel.error > 0.1 for kernel in handler.finals.judge()[1:])
    assert any(kernel.shapes[1][0] != (3, 3, 16, 32) for kernel in timed)


@pytest.mark.parametrize(
    ("untuned_secs", "again"),
    [(0.6, False), (0.4, True)],  # what is as short may have been a hiccup
)
def test_an_untuned_kernel_that_is_hopeless_is_not_run_again(
    handler: TVMHandler, untuned_secs: float, again: bool
) -> None:
    handler.finals.ready("dense", [("dense", c) for c in some(handler, "dense", 1)])
    handler.finals._final.untuned_secs = untuned_secs
    handler.finals.contend(2, 0.0005)
    untuned, tuned = handler.finals.judge()
    assert (untuned.samples != (untuned_secs,)) == again
    assert len(tuned.samples) == 2


@pytest.mark.parametrize(
    ("finalists", "again"), [([], True), ([7.0], True), ([7.0, 5.0], False), ([math.inf], True)]
)
def test_an_untuned_kernel_that_is_not_much_slower_is_run_again(
    handler: TVMHandler, finalists: list[float], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time beside other finals' builds is not compared with one that had the machine."""
    timed = [WarmKernel(lambda runs: 0.001, secs) for secs in reversed(finalists)]
    monkeypatch.setattr(handler.finals, "_contending", lambda *_: timed.pop(0))
    handler.finals.ready("dense", [("dense", c) for c in some(handler, "dense", len(finalists))])
    handler.finals._final.untuned_secs = 60.0
    handler.finals.contend(2, 0.0005)
    assert (max(handler.finals.judge()[0].samples) < 1) == again


def test_of_two_weights_each_is_laid_out_as_its_own(handler: TVMHandler) -> None:
    configurations = some(handler, "two_layers", 8)
    shapes = [shapes_of(handler, c, "two_layers") for c in configurations]
    both = [
        configuration
        for configuration, (_, first, second, _) in zip(configurations, shapes, strict=True)
        if first[0] != (48, 32) and second[0] != (64, 48)
    ]
    assert len(both) > 1
    judged = judged_by(handler, "two_layers", [("two_layers", c) for c in both])
    assert [kernel.message for kernel in judged] == [""] * len(judged)
    assert max(kernel.error for kernel in judged) < 1e-5


def test_a_kernel_is_not_run_on_arguments_of_other_shapes(
    handler: TVMHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not check them itself."""
    [relaid_one, *_] = [
        c for c in some(handler, "conv2d", 8) if shapes_of(handler, c)[1][0] != (3, 3, 16, 32)
    ]
    handler.finals.ready("conv2d", [("conv2d", relaid_one)])
    handler.finals.contend(1, 0.0005)
    monkeypatch.setattr(judging, "relaid", lambda module, arguments, target: tensors(arguments))
    _, judged = handler.finals.judge()
    assert judged.message.startswith("ValueError: the kernel takes")
    assert math.isnan(judged.error)


def shapes_of(handler: TVMHandler, configuration: Configuration, name: str = "conv2d") -> list[Any]:
    return argument_shapes(handler.tasks.space(name).replay(configuration).schedule.mod)


def tensors(arguments: list[Any]) -> list[Any]:
    return [tvm.runtime.tensor(array) for array in arguments]


def test_a_final_is_over_once_it_is_judged(handler: TVMHandler) -> None:
    judged_by(handler, "dense", [])
    with pytest.raises(LookupError, match="no final"):
        handler.finals.judge()
    with pytest.raises(LookupError, match="no final"):
        handler.finals.contend(1, 0.001)


def test_candidates_do_not_check_their_arguments(handler: TVMHandler) -> None:
    """That is the neutral timer's business, and a deployed library's."""
    space = handler.tasks.space("dense")
    [configuration] = some(handler, "dense", 1)
    scheduled = space.replay(configuration).schedule.mod
    texts = [
        build(scheduled, space.target)._executable.mod.inspect_source("ll")
        for build in (compile_candidate, compile_deployed, compile_by_tvm)
    ]
    assert ["byte_offset" in text for text in texts] == [False, True, True]
