from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import tvm
from tvm.target import Target

from chameleon_tuner.backends.tvm.run import profile as peak
from chameleon_tuner.backends.tvm.targets import resolve_target, vector_bits
from chameleon_tuner.bench import profiling as limits
from chameleon_tuner.space.task import NARROW, WIDE


@pytest.mark.parametrize(
    ("cpu", "register", "bits"), [("znver4", "z", WIDE), ("znver3", "y", NARROW)]
)
def test_the_loop_is_nothing_but_multiply_adds(cpu: str, register: str, bits: int) -> None:
    """Each on registers alone: one that reads memory waits for it."""
    target = Target({"kind": "llvm", "mcpu": cpu, "mtriple": "x86_64-unknown-linux-gnu"})
    function = peak.multiply_adds(2, peak.CHAINS[bits], bits // 32)
    assembly = tvm.compile(function, target=target).mod.inspect_source("asm")
    names = rf"%{register}mm\d+"
    added = re.findall(rf"vfmadd\d+ps\s+{names}, {names}, {names}", assembly)
    assert len(added) >= peak.CHAINS[bits]
    assert len(added) == len(re.findall("vfmadd", assembly))


def test_the_sums_are_right() -> None:
    """A half of it and a half, again and again, is 1."""
    threads, chains, lanes = 2, 3, 8
    function = peak.multiply_adds(threads, chains, lanes)
    run = tvm.compile(function, target=resolve_target("auto", 1))["multiply_adds"]
    factors = tvm.runtime.tensor(np.full(lanes, 0.5, dtype=np.float32))
    sums = tvm.runtime.tensor(np.zeros((threads, chains * lanes), dtype=np.float32))
    run(factors, sums)
    assert (sums.numpy() == 1).all()


def test_two_operations_a_lane_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.time, "perf_counter", map(float, itertools.count()).__next__)
    bits = vector_bits(resolve_target("auto", 1))
    operations = 2 * peak.STEPS * peak.CHAINS[bits] * bits // 32
    assert limits.peak_gflops(1) == pytest.approx(1e-9 * operations)
