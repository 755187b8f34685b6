"""What a worker does, in this process: real kernels, right ones and wrong ones."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.kernel import (
    Kernel,
    argument_shapes,
    compile_candidate,
    device_of,
)
from chameleon_tuner.backends.tvm.metaschedule import foreign
from chameleon_tuner.backends.tvm.run.arguments import Arguments, random_array
from chameleon_tuner.backends.tvm.run.handler import TVMHandler
from chameleon_tuner.backends.tvm.run.workbench import WarmKernel, interleave
from chameleon_tuner.core.configuration import Configuration, ForeignTrace, LoweredByTVM
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.ports.measurer import TimingPolicy

DEVICE = device_of(Target("llvm"))
POLICY = TimingPolicy(budget_secs=0.02, sample_secs=0.0005)


def some(handler: TVMHandler, name: str, count: int) -> list[Configuration]:
    design = handler.tasks.space(name).design
    return design.configurations(design.sample(count, np.random.default_rng(0)))


# -- one candidate


@pytest.mark.parametrize("name", ["conv2d", "scalar", "where"])
def test_a_candidate_is_replayed_compiled_and_run(handler: TVMHandler, name: str) -> None:
    for configuration in some(handler, name, 2):
        ticket, read_back, structural_hash = handler.candidates.replay(name, configuration)
        assert read_back == configuration
        assert structural_hash.startswith("0x")
        handler.candidates.compile(ticket)
        timing = handler.candidates.run(ticket, math.inf, POLICY)
        assert len(timing.samples) >= POLICY.min_samples
        assert not timing.censored
        assert 0 < min(timing.samples) < timing.spent_secs < 5


def test_tickets_differ_and_a_candidate_is_dropped_once_it_ran(handler: TVMHandler) -> None:
    [configuration] = some(handler, "dense", 1)
    first, _, _ = handler.candidates.replay("dense", configuration)
    second, _, _ = handler.candidates.replay("dense", configuration)
    assert first != second
    handler.candidates.compile(first)
    handler.candidates.run(first, math.inf, POLICY)
    handler.candidates.forget(second)
    assert handler.candidates._replayed == handler.candidates._kernels == {}
    with pytest.raises(KeyError):
        handler.candidates.run(first, math.inf, POLICY)
    with pytest.raises(KeyError):
        handler.candidates.compile(second)


def test_what_is_refused_has_no_ticket(handler: TVMHandler) -> None:
    with pytest.raises(RejectedError):
        handler.candidates.replay("dense", Configuration(0, ()))
    assert handler.candidates._replayed == {}


def test_weights_can_be_as_cold_as_in_a_network(handler: TVMHandler) -> None:
    [configuration] = some(handler, "dense", 1)
    ticket, _, _ = handler.candidates.replay("dense", configuration)
    handler.candidates.compile(ticket)
    policy = TimingPolicy(apart_bytes=10 * 48 * 32 * 4, max_samples=2)
    assert len(handler.candidates.run(ticket, math.inf, policy).samples) == 2
    assert len(handler.tasks._inputs("dense")._copies[1]) == 9


def addresses(sets: list[list[Any]], number: int) -> list[int]:
    return [np.from_dlpack(mine[number]).ctypes.data for mine in sets]


def test_runs_take_turns_with_weights_and_share_the_rest() -> None:
    shapes = [((4, 8), "float32"), ((8, 16), "float32"), ((4, 16), "float32")]
    inputs = Arguments(shapes, DEVICE, weights=(1,))
    weights_bytes = 8 * 16 * 4
    sets = inputs.turns(shapes, 4 * weights_bytes + 1)
    assert len(sets) == len(set(addresses(sets, 1))) == 5
    assert len(set(addresses(sets, 0))) == len(set(addresses(sets, 2))) == 1
    values = {np.from_dlpack(mine[1]).tobytes() for mine in sets}
    assert len(values) == 1
    relaid = inputs.turns([shapes[0], ((2, 8, 8), "float32"), shapes[2]], 2 * weights_bytes)
    assert [tuple(mine[1].shape) for mine in relaid] == [(2, 8, 8)] * 2
    assert set(addresses(relaid, 1)) < set(addresses(sets, 1))  # the same memory again
    assert len(inputs.turns(shapes, 0)) == 1
    assert len(inputs.turns(shapes, 10**12)) == 64
    padded = [shapes[0], ((9, 16), "float32"), shapes[2]]
    assert {tuple(mine[1].shape) for mine in inputs.turns(padded, 10**4)} == {(9, 16)}


def test_without_weights_there_is_nothing_to_take_turns_with() -> None:
    shapes = [((4, 8), "float32"), ((4, 8), "float32")]
    assert len(Arguments(shapes, DEVICE).turns(shapes, 10**6)) == 1


def test_weights_come_in_the_layout_that_the_candidate_wants(handler: TVMHandler) -> None:
    space = handler.tasks.space("conv2d")
    plain = argument_shapes(space.module)
    relaid = {argument_shapes(space.replay(c).schedule.mod)[1] for c in some(handler, "conv2d", 8)}
    assert len(relaid) > 1
    assert all(math.prod(shape) == math.prod(plain[1][0]) for shape, _ in relaid)
    inputs = Arguments(plain, DEVICE)
    addresses = set()
    for shape, dtype in relaid:
        views = inputs.views([plain[0], (shape, dtype), *plain[2:]])
        assert tuple(views[1].shape) == shape
        addresses.add(np.from_dlpack(views[1]).ctypes.data)
    assert len(addresses) == 1  # any number of candidates takes the memory of one
    padded = ((16, 64), "float32")
    assert tuple(inputs.views([*plain[:2], padded, plain[3]])[2].shape) == (16, 64)


def test_a_single_run_and_many_agree(handler: TVMHandler) -> None:
    space = handler.tasks.space("conv2d")
    [configuration] = some(handler, "conv2d", 1)
    kernel = compile_candidate(space.replay(configuration).schedule.mod, space.target)
    inputs = Arguments(argument_shapes(space.module), device_of(space.target))
    run = kernel.timer([inputs.views(kernel.shapes)])
    single, many = min(run(1) for _ in range(50)), min(run(200) for _ in range(3))
    assert many / 10 < single < many * 10  # seconds of a call, not of all calls


# -- rounds

Calls = list[tuple[float, int]]


def contestant(secs: float, calls: Calls) -> WarmKernel:
    """Always as fast, with a note of what it was asked to do."""

    def run(number: int) -> float:
        calls.append((secs, number))
        return secs

    return WarmKernel(run, secs)


@pytest.mark.parametrize("slow_once", [False, True])
def test_rounds_are_interleaved_and_the_slow_may_run_once(slow_once: bool) -> None:
    calls: Calls = []
    contestants = [contestant(secs, calls) for secs in (0.001, 0.3, 0.005)]
    contestants.insert(1, WarmKernel(None, math.inf, "failed"))
    limits = [1.0, 1.0, 0.1, 1.0] if slow_once else None
    timed = interleave(contestants, rounds=3, round_secs=0.0095, slow_secs=limits)
    slow = (0.3,) if slow_once else (0.3,) * 3
    assert [kernel.samples for kernel in timed] == [(0.001,) * 3, (), slow, (0.005,) * 3]
    assert [kernel.message for kernel in timed] == ["", "failed", "", ""]
    a_round = [(0.001, 10), (0.005, 2)]
    a_round += [] if slow_once else [(0.3, 1)]
    size = len(a_round)
    assert [sorted(calls[n : n + size]) for n in range(0, 3 * size, size)] == [a_round] * 3


@given(st.integers(3, 250))
def test_nobody_follows_the_same_neighbour_in_every_round(count: int) -> None:
    def a_sitting() -> Calls:
        calls: Calls = []
        interleave([contestant(n + 1.0, calls) for n in range(count)], 5, 0.01)
        return calls

    calls = a_sitting()
    names = [int(secs) for secs, _ in calls]
    rounds = [names[begin : begin + count] for begin in range(0, 5 * count, count)]
    assert all(sorted(one) == list(range(1, count + 1)) for one in rounds)
    behind: dict[int, set[int]] = {}
    for one in rounds:
        for before, after in itertools.pairwise(one):
            behind.setdefault(after, set()).add(before)
    assert min(map(len, behind.values())) > 1
    assert a_sitting() == calls


@pytest.mark.parametrize("name", ["conv2d", "dense_int8"])
def test_candidates_are_timed_side_by_side(handler: TVMHandler, name: str) -> None:
    first, *others = some(handler, name, 4)
    timed = handler.neutral.time(name, [first, Configuration(77, ()), *others], 3, 0.001)
    assert [len(kernel.samples) for kernel in timed] == [3, 0, 3, 3, 3]
    assert [kernel.message.partition(":")[0] for kernel in timed] == ["", "RejectedError"] + [
        ""
    ] * 3
    assert all(0 < secs < 1 for kernel in timed for secs in kernel.samples)
    assert handler.neutral.time(name, [], 3, 0.001) == []


def test_a_trace_of_another_tuner_is_timed_too(handler: TVMHandler) -> None:
    (first,) = some(handler, "conv2d", 1)
    trace = foreign(handler.tasks.space("conv2d").replay(first).schedule)
    mine, theirs, broken = handler.neutral.time(
        "conv2d", [first, trace, ForeignTrace("[]")], 3, 0.001
    )
    assert len(mine.samples) == len(theirs.samples) == 3
    assert not broken.samples
    assert broken.message


def test_kernels_are_timed_as_their_tuners_deploy_them(
    handler: TVMHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = []

    def spied(self: Kernel, *arguments: Any) -> None:
        config = tvm.transform.PassContext.current().config
        contexts.append((bool(config.get("tirx.disable_cse_tir")), "tirx.disable_assert" in config))
        made(self, *arguments)

    made = Kernel.__init__
    monkeypatch.setattr(Kernel, "__init__", spied)
    (first,) = some(handler, "conv2d", 1)
    trace = foreign(handler.tasks.space("conv2d").replay(first).schedule)
    timed = handler.neutral.time("conv2d", [first, LoweredByTVM(first), trace], 1, 0.001)
    assert [len(kernel.samples) for kernel in timed] == [1, 1, 1]
    assert contexts == [(True, False), (False, False), (False, False)]


# -- inputs and outputs


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_random_floats(dtype: str) -> None:
    array = random_array((1000,), dtype, np.random.default_rng(0))
    assert str(array.dtype) == dtype
    values = array.astype(np.float64)
    assert -1 <= values.min() < -0.9
    assert 0.9 < values.max() <= 1


@pytest.mark.parametrize(
    ("dtype", "values"), [("bool", [0, 1]), ("int8", [0, 1]), ("uint8", [0, 1]), ("int64", [0])]
)
def test_random_integers_are_safe_as_indices(dtype: str, values: list[int]) -> None:
    array = random_array((10, 10), dtype, np.random.default_rng(0))
    assert str(array.dtype) == dtype
    assert sorted(set(array.astype(int).ravel().tolist())) == values
