"""The knobs of a sketch are what TVM does with its decisions."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.target import Target

from chameleon_tuner.backends.tvm.space import traces
from chameleon_tuner.backends.tvm.space.derivation import UnknownInstructionError, sampling
from chameleon_tuner.backends.tvm.space.traces import NoSpaceError, TracedSpace
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import ChameleonError
from chameleon_tuner.space import Location
from chameleon_tuner.space.plain import to_plain

CPU = {"kind": "llvm", "mcpu": "cascadelake", "num-cores": 2}
GPU = {
    "kind": "cuda",
    "arch": "sm_80",
    "max_threads_per_block": 1024,
    "max_shared_memory_per_block": 49152,
    "thread_warp_size": 32,
}

SPACES = {
    ("conv2d", "cpu"): "a0569015b8581a9c",
    ("depthwise", "cpu"): "ab16fa05fcc27bdc",
    ("dense", "cpu"): "3b80fb70da338e36",
    ("two_layers", "cpu"): "f9c64ce2fb759fd7",
    ("dense_int8", "cpu"): "26aec2555a2e76a6",
    ("matmul_of_primes", "cpu"): "380f7d83db951e43",
    ("softmax", "cpu"): "d152ce7c1e0c79fb",
    ("mean", "cpu"): "713c87bb37d6d5aa",
    ("transpose", "cpu"): "cf1cbb66a638b486",
    ("max_pool", "cpu"): "f56aec6bc1e3c266",
    ("where", "cpu"): "cf1cbb66a638b486",
    ("conv2d", "gpu"): "51a1023ff8d7130f",
    ("dense_float16", "gpu"): "0007f1edfaf99967",
    ("softmax", "gpu"): "dfda477d1e4655dc",
    ("transpose", "gpu"): "ab7c1e8b5df466e5",
}
"""Digests of the design spaces of the test kernels. With another space, the records of earlier
versions mean something else, and a search proposes something else."""

LOCATED = ["conv2d", "softmax", "mean", "max_pool"]

INLINED, ROOT = 0, 1
"""Indices of a location's values."""


@pytest.mark.parametrize(("name", "device"), SPACES)
def test_design_spaces_stay_as_they_are(
    kernels: dict[str, IRModule], name: str, device: str
) -> None:
    space = TracedSpace(kernels[name], Target(CPU if device == "cpu" else GPU))
    text = json.dumps(to_plain(space.design))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == SPACES[name, device]


@pytest.mark.parametrize("name", LOCATED)
def test_a_block_is_inlinable_where_tvm_inlines_it(kernels: dict[str, IRModule], name: str) -> None:
    space, asked = TracedSpace(kernels[name], Target(CPU)), 0
    for number, sketch in enumerate(space.design.sketches):
        located = [isinstance(knob, Location) for knob in sketch.knobs]
        at_root = np.where(located, ROOT, 0)
        for position in np.flatnonzero(located):
            indices = at_root.copy()
            indices[position] = INLINED
            wanted = Configuration(number, tuple(indices.tolist()))
            became = space.replay(wanted).configuration.indices[position]
            knob = sketch.knobs[position]
            assert isinstance(knob, Location)
            assert became == (INLINED if knob.inlinable else ROOT)
            asked += 1
    assert asked


@pytest.mark.parametrize("name", ["conv2d", "softmax", "transpose"])
def test_deriving_leaves_the_traces_as_they_were_generated(
    kernels: dict[str, IRModule], name: str
) -> None:
    derived = TracedSpace(kernels[name], Target(CPU))
    told = TracedSpace(kernels[name], Target(CPU), derived.design)
    told.generate()
    assert list(map(str, derived._generated.traces)) == list(map(str, told._generated.traces))


def test_an_instruction_without_a_knob_is_a_typed_error(kernels: dict[str, IRModule]) -> None:
    schedule = Schedule(kernels["dense"])
    loop = schedule.get_loops(schedule.get_sblock("T_matmul_NT"))[0]
    schedule.sample_partitioned_tile(loop, n=3, partition_pos=1, innerpart_factor=2)
    with pytest.raises(UnknownInstructionError, match=r"SamplePartitionedTile.*another target"):
        sampling(schedule.trace)
    assert issubclass(UnknownInstructionError, ChameleonError)
    assert not issubclass(UnknownInstructionError, NoSpaceError)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, IndexError])
def test_a_kernel_that_tvm_has_no_space_for_is_a_typed_error(
    kernels: dict[str, IRModule], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def derive(*given: object) -> None:
        raise error("first line\nno such block")

    monkeypatch.setattr(traces, "derive", derive)
    with pytest.raises(NoSpaceError, match=r"^no such block$"):
        TracedSpace(kernels["dense"], Target(CPU))
