"""Configurations and MetaSchedule's traces: there and back again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
import tvm_ffi
from tvm.ir import IRModule
from tvm.s_tir import Schedule, meta_schedule
from tvm.target import Target

from chameleon_tuner.backends.tvm.rewrites.base import traced_space
from chameleon_tuner.backends.tvm.space import traces
from chameleon_tuner.backends.tvm.space.traces import TracedSpace, load_module
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.space import Choice, IntArray, Location, Tile
from chameleon_tuner.space.plain import from_plain, to_plain

CPU = {"kind": "llvm", "mcpu": "cascadelake", "num-cores": 2}
GPU = {
    "kind": "cuda",
    "arch": "sm_80",
    "max_threads_per_block": 1024,
    "max_shared_memory_per_block": 49152,
    "thread_warp_size": 32,
}
ON_CPU = [
    *("conv2d", "depthwise", "dense", "dense_int8", "matmul_of_primes", "softmax", "mean"),
    *("transpose", "max_pool", "scalar", "where"),
]
ON_GPU = ["conv2d", "dense_float16", "softmax", "transpose", "scalar"]
EVERYWHERE = [*((name, "cpu") for name in ON_CPU), *((name, "gpu") for name in ON_GPU)]


class Spaces:
    """The spaces of the test kernels, each made once."""

    def __init__(self, kernels: dict[str, IRModule]) -> None:
        self._kernels, self._made = kernels, dict[tuple[str, str], TracedSpace]()

    def __call__(self, name: str, device: str = "cpu") -> TracedSpace:
        if (name, device) not in self._made:
            target = Target(CPU if device == "cpu" else GPU)
            self._made[name, device] = TracedSpace(self._kernels[name], target)
        return self._made[name, device]


@pytest.fixture(scope="module")
def spaces(kernels: dict[str, IRModule]) -> Spaces:
    return Spaces(kernels)


def raw_rows(space: TracedSpace, count: int, seed: int = 0) -> IntArray:
    """Rows with locations drawn at random, legal or not."""
    design, rng = space.design, np.random.default_rng(seed)
    rows = design.sample(count, rng)
    draws = rng.random((count, design.width)) * design.sizes[rows[:, 0]]
    rows[:, 1:] = draws.astype(np.int32)
    return rows


def some(space: TracedSpace, count: int) -> list[Configuration]:
    return space.design.configurations(raw_rows(space, count))


def replay_or_none(space: TracedSpace, configuration: Configuration) -> Any:
    try:
        return space.replay(configuration)
    except RejectedError:
        return None


# -- configuration -> module -> configuration


@pytest.mark.parametrize(("name", "device"), EVERYWHERE)
def test_what_is_read_back_makes_the_same_module(spaces: Spaces, name: str, device: str) -> None:
    space = spaces(name, device)
    scheduled = [replay_or_none(space, c) for c in some(space, 10 if device == "cpu" else 30)]
    accepted = [replayed for replayed in scheduled if replayed is not None]
    assert accepted, "no legal candidate among those drawn"
    assert device == "gpu" or len(accepted) == len(scheduled)
    for replayed in accepted[:10]:
        assert space.design.contains(replayed.configuration)
        again = space.replay(replayed.configuration)
        assert again.configuration == replayed.configuration
        assert again.structural_hash == replayed.structural_hash


@pytest.mark.parametrize("name", ["conv2d", "depthwise", "dense", "transpose"])
def test_the_space_predicts_what_is_read_back(spaces: Spaces, name: str) -> None:
    space = spaces(name)
    rows = raw_rows(space, 60, seed=1)
    predicted = space.design.configurations(space.design.canonical(rows))
    asked = space.design.configurations(rows)
    assert [space.replay(c).configuration for c in asked] == predicted
    assert (predicted != asked) == any(
        isinstance(knob, Location) for sketch in space.design.sketches for knob in sketch.knobs
    )


@pytest.mark.parametrize("name", ["softmax", "mean", "max_pool"])
def test_where_it_cannot_predict_it_leaves_the_choice(spaces: Spaces, name: str) -> None:
    """Whatever TVM accepts as it is, the space keeps as it is."""
    space = spaces(name)
    for configuration in some(space, 40):
        replayed = space.replay(configuration)
        [kept] = space.design.canonical(space.design.rows([replayed.configuration]))
        assert space.design.configurations(kept[None, :]) == [replayed.configuration]


def test_different_configurations_are_different_modules(spaces: Spaces) -> None:
    space = spaces("conv2d")
    rows = space.design.unique(space.design.sample(30, np.random.default_rng(2)))
    hashes = {space.replay(c).structural_hash for c in space.design.configurations(rows)}
    assert len(hashes) == len(rows)


# -- trace -> configuration


@pytest.mark.parametrize(("name", "device"), EVERYWHERE)
def test_the_configuration_of_a_trace(spaces: Spaces, name: str, device: str) -> None:
    space = spaces(name, device)
    accepted = [r for c in some(space, 24) if (r := replay_or_none(space, c)) is not None]
    for replayed in accepted[:4]:
        assert space.configuration_of(replayed.schedule.trace) == replayed.configuration


@pytest.mark.parametrize("name", ["conv2d", "dense_int8", "softmax", "transpose"])
def test_the_configuration_of_a_stored_trace(spaces: Spaces, name: str, tmp_path: Path) -> None:
    space = spaces(name)
    [configuration] = some(space, 1)
    replayed = space.replay(configuration)
    database = meta_schedule.database
    files = str(tmp_path / "workloads"), str(tmp_path / "records")
    stored = database.JSONDatabase(*files)
    workload = stored.commit_workload(space.module)
    trace = replayed.schedule.trace
    stored.commit_tuning_record(database.TuningRecord(trace, workload, [1.0], space.target))
    [record] = database.JSONDatabase(*files).get_all_tuning_records()
    assert space.configuration_of(record.trace) == replayed.configuration


@pytest.mark.parametrize("name", ["conv2d", "dense", "softmax"])
def test_the_configurations_of_metaschedules_own_candidates(spaces: Spaces, name: str) -> None:
    space = spaces(name)
    context = meta_schedule.TuneContext(
        mod=space.module,
        target=space.target,
        space_generator="post-order-apply",
        search_strategy=None,
        task_name="main",
        rand_state=7,
        num_threads=1,
    )
    for sketch, schedule in enumerate(context.generate_design_space()):
        found = space.configuration_of(schedule.trace)
        assert found is not None
        assert found.sketch == sketch


def test_other_traces_have_no_configuration(spaces: Spaces) -> None:
    conv2d, dense = spaces("conv2d"), spaces("dense")
    [configuration] = some(dense, 1)
    assert conv2d.configuration_of(dense.replay(configuration).schedule.trace) is None
    assert dense.configuration_of(Schedule(dense.module).trace) is None


# -- sketches


def test_knobs_of_a_convolution(spaces: Spaces) -> None:
    for sketch in spaces("conv2d").design.sketches:
        *tiles, unroll, location = sketch.knobs
        extents = (1, 14, 14, 32, 3, 3, 16)
        assert tuple(tiles) == tuple(
            Tile(extent, 4, 64) if n < 4 else Tile(extent, 2, 64, spatial=False)
            for n, extent in enumerate(extents)
        )
        assert unroll == Choice((0, 16, 64, 512))
        assert isinstance(location, Location)
        assert location.inlinable
        assert len(location.loops) == 4 * 4 + 3 * 2
        assert None not in location.loops


def test_a_reduction_that_rfactor_splits_is_no_spatial_tile(spaces: Spaces) -> None:
    for name, extent in (("softmax", 1024), ("mean", 49)):
        knobs = [knob for sketch in spaces(name).design.sketches for knob in sketch.knobs]
        tiles = {knob for knob in knobs if isinstance(knob, Tile)}
        assert tiles == {Tile(extent, 2, 64, spatial=False)}


def test_a_tensor_intrinsic_takes_its_share_of_the_loops(spaces: Spaces) -> None:
    """VNNI multiplies 16 x 4: 64 outputs and 64 terms become 4 and 16."""
    for sketch in spaces("dense_int8").design.sketches:
        tiles = [knob for knob in sketch.knobs if isinstance(knob, Tile)]
        assert [(tile.extent, tile.spatial) for tile in tiles] == [
            (16, True),
            (4, True),
            (16, False),
        ]
    for sketch in spaces("dense_float16", "gpu").design.sketches:
        tiles = [knob for knob in sketch.knobs if isinstance(knob, Tile)]
        assert [(tile.extent, tile.parts) for tile in tiles] == [(4, 5), (4, 5), (4, 3)]


@pytest.mark.parametrize("name", ["transpose", "scalar"])
def test_without_decisions_there_is_one_candidate(spaces: Spaces, name: str) -> None:
    space = spaces(name)
    assert space.design.count == 1
    assert space.replay(Configuration(0, ())).configuration == Configuration(0, ())


# -- refusals


def test_a_gpu_refuses_what_does_not_fit(spaces: Spaces) -> None:
    space, reasons = spaces("conv2d", "gpu"), set()
    for configuration in some(space, 10):
        try:
            space.replay(configuration)
        except RejectedError as refusal:
            reasons.add(str(refusal))
    assert reasons == {"refused by VerifyGPUCode"}


@pytest.mark.parametrize("configuration", [Configuration(9, ()), Configuration(0, (0, 0))])
def test_what_is_not_of_the_space_is_refused(spaces: Spaces, configuration: Configuration) -> None:
    with pytest.raises(RejectedError, match="not a configuration of this task"):
        spaces("dense").replay(configuration)


def test_a_schedule_that_tvm_cannot_apply_is_refused_with_its_reason(
    spaces: Spaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = spaces("dense")
    monkeypatch.setattr(space, "module", spaces("transpose").module)
    with pytest.raises(RejectedError, match="Cannot find a block"):
        space.replay(Configuration(0, (0, 0, 0, 0)))


# -- other processes

OTHER_PROCESS = """
import json, sys
from pathlib import Path
from chameleon_tuner.backends.tvm.space.traces import TracedSpace, load_module
from chameleon_tuner.space import Configuration
from tvm.target import Target
question = json.loads(Path(sys.argv[1]).read_text())
for module, target, asked in question:
    space = TracedSpace(load_module(module), Target(target))
    for configuration in asked:
        replayed = space.replay(Configuration.from_json(configuration))
        print(replayed.structural_hash, replayed.configuration.to_json())
print([name for name in sys.modules if "tensor_intrin." in name])
"""


def test_another_process_makes_the_same_modules(
    spaces: Spaces, kernels_json: dict[str, str], tmp_path: Path
) -> None:
    asked = {name: some(spaces(name), 4) for name in ("conv2d", "softmax", "dense_int8")}
    question = [
        (kernels_json[name], CPU, [c.to_json() for c in configurations])
        for name, configurations in asked.items()
    ]
    replayed = [spaces(name).replay(c) for name, mine in asked.items() for c in mine]
    expected = [f"{r.structural_hash} {r.configuration.to_json()}" for r in replayed]
    (tmp_path / "question").write_text(json.dumps(question))
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "question")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    *answers, intrinsics = output.splitlines()
    assert answers == expected
    assert intrinsics == "['tvm.s_tir.tensor_intrin.x86']"  # not those of every target


def test_a_module_from_json_has_the_same_space(
    spaces: Spaces, kernels_json: dict[str, str]
) -> None:
    space = spaces("conv2d")
    loaded = TracedSpace(load_module(kernels_json["conv2d"]), Target(CPU))
    assert loaded.design == space.design
    for configuration in some(space, 3):
        assert loaded.replay(configuration).structural_hash == (
            space.replay(configuration).structural_hash
        )


def test_a_space_that_is_known_is_not_found_again(
    spaces: Spaces, kernels_json: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is told it."""
    space = spaces("conv2d")
    monkeypatch.delattr(traces, "derive")
    told = traced_space(kernels_json["conv2d"], CPU, from_plain(to_plain(space.design)))
    for configuration in some(space, 3):
        assert told.replay(configuration).structural_hash == (
            space.replay(configuration).structural_hash
        )


def test_where_the_space_is_known_nothing_is_generated_before_it_is_used(
    spaces: Spaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main process schedules the winners of a network, and no other kernel."""
    space = spaces("conv2d")
    [configuration] = some(space, 1)
    replayed = space.replay(configuration)
    uses = [
        lambda told: told.replay(configuration).structural_hash == replayed.structural_hash,
        lambda told: told.configuration_of(replayed.schedule.trace) == replayed.configuration,
    ]
    with monkeypatch.context() as patched:
        patched.delattr(traces, "_generator")
        told = [TracedSpace(space.module, space.target, space.design) for _ in uses]
    assert all(use(each) for use, each in zip(uses, told, strict=True))


# -- modules as text


def test_a_module_of_an_earlier_tvm_is_updated(
    kernels: dict[str, IRModule], kernels_json: dict[str, str]
) -> None:
    text = kernels_json["dense"]
    assert text.endswith(traces._WRITTEN_BY_THIS_TVM)
    early = text.replace(tvm.__version__, "0.26.0").replace("s_tir.SBlock", "tirx.SBlock")
    assert "tirx.SBlock" in early
    for written in (text, early):
        assert tvm_ffi.structural_equal(load_module(written), kernels["dense"])


def test_what_is_no_module_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        load_module("broken")
