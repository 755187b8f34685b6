from __future__ import annotations

import inspect

import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from tvm.ir import IRModule
from tvm.s_tir import Schedule

from chameleon_tuner.backends.tvm.patches import skip_argument_checks


def test_tvm_itself_refuses_arguments_of_a_wrong_type(kernels: dict[str, IRModule]) -> None:
    skip_argument_checks()
    skip_argument_checks()
    schedule = Schedule(kernels["dense"])
    block = schedule.get_sblock("T_matmul_NT")
    i, j, k = schedule.get_loops(block)
    for wrong in (
        lambda: schedule.get("i"),
        lambda: schedule.get_loops(i),
        lambda: schedule.split(i, factors="two"),
        lambda: schedule.reorder(block, j),
    ):
        with pytest.raises(TypeError):
            wrong()
    assert [int(schedule.get(loop).extent) for loop in (i, j, k)] == [16, 48, 32]


def test_no_method_of_a_schedule_is_checked_in_python() -> None:
    skip_argument_checks()
    methods = inspect.getmembers(Schedule, inspect.isfunction)
    assert len(methods) > 50
    assert not [name for name, method in methods if hasattr(method, "__wrapped__")]
