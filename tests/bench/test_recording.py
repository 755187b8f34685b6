from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.bench.recording import (
    Recording,
    read_recordings,
    recording_of,
    write_recordings,
)
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.replay import ReplayMeasurer
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.ports.runlog import RunLog, Trial
from chameleon_tuner.space.task import NARROW, Task
from chameleon_tuner.testing.landscapes import recorded_conv2d, tiny_space, two_sketch_space

TASK = Task(
    "conv2d", "key", "a module", {"kind": "llvm"}, two_sketch_space(), 3, 1e9, ("8 float32",)
)
WHERE = {"machine": "a CPU", "threads": 2, "versions": {"tvm": "0.27", "chameleon": "0.1"}}
ALL = TASK.space.configurations(TASK.space.sample(40, np.random.default_rng(0)))
TIMED = (Status.OK, Status.CENSORED)

COSTS = st.floats(0, 10)


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    status = draw(st.sampled_from(Status))
    seconds = draw(st.floats(1e-7, 1.0)) if status in TIMED else math.inf
    return Trial(draw(st.sampled_from(ALL)), status, seconds, draw(COSTS), draw(COSTS))


LOGS = st.lists(
    st.builds(
        lambda measured: RunLog("chameleon", "conv2d", 0, 1.0, 2.0, trials=measured),
        st.lists(trials(), max_size=20).map(tuple),
    ),
    max_size=3,
)


def log(*measured: Trial, task: str = "conv2d") -> RunLog:
    return RunLog("chameleon", task, 0, 1.0, 2.0, trials=measured)


def ok(configuration: Configuration | None = ALL[0], seconds: float = 1e-3) -> Trial:
    return Trial(configuration, Status.OK, seconds, 0.2, 0.1)


def recorded(*logs: RunLog, task: Task = TASK) -> Recording:
    return recording_of(task, logs, **WHERE)


# -- from run logs


@settings(deadline=None)
@given(LOGS)
def test_every_configuration_is_recorded_once_an_ok_one_first(logs: list[RunLog]) -> None:
    measured = [trial for one in logs for trial in one.trials]
    outcomes = {outcome.configuration: outcome for outcome in recorded(*logs).outcomes}
    assert list(outcomes) == sorted({t.configuration for t in measured if t.configuration})
    for configuration, outcome in outcomes.items():
        mine = [trial for trial in measured if trial.configuration == configuration]
        kept = next((trial for trial in mine if trial.status is Status.OK), mine[0])
        assert outcome.status is kept.status
        assert outcome.seconds == pytest.approx(kept.own_secs, rel=1e-5)
        assert outcome.build_secs == pytest.approx(kept.build_secs, rel=1e-5)
        assert outcome.run_secs == pytest.approx(kept.run_secs, rel=1e-5)


def test_what_says_too_little_is_left_out() -> None:
    unknown = replace(ok(), build_secs=math.nan), replace(ok(), run_secs=math.nan)
    repeated = replace(ok(), own_secs=math.inf)  # of a module that was timed before
    assert not recorded(log(ok(None), *unknown, repeated)).outcomes
    assert not recorded(log(ok(), task="dense")).outcomes


def test_the_recorded_task_has_no_module() -> None:
    assert recorded(log(ok())).task == replace(TASK, module="")


def test_a_log_of_another_space_is_refused() -> None:
    with pytest.raises(UsageError, match="not of its design space"):
        recorded(log(ok(Configuration(7, (0, 0)))))


# -- the file


@settings(deadline=None)
@given(LOGS)
def test_recordings_come_back(tmp_path_factory: pytest.TempPathFactory, logs: list[RunLog]) -> None:
    folder = tmp_path_factory.mktemp("recordings")
    dense = replace(TASK, name="dense", key="other", space=tiny_space(), vector_bits=NARROW)
    both = [recorded(*logs), recorded(task=dense)]
    for name in ("r.jsonl", "r.jsonl.gz"):
        write_recordings(folder / name, both)
        assert read_recordings([folder / name]) == both
    assert sorted(path.name for path in folder.iterdir()) == ["r.jsonl", "r.jsonl.gz"]


def test_the_same_recordings_are_the_same_bytes(tmp_path: Path) -> None:
    recording = recorded(log(*map(ok, ALL)))
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_recordings(tmp_path / name, [recording])
    a, b = ((tmp_path / f"{name}.jsonl.gz").read_bytes() for name in "ab")
    assert a == b
    assert a[3:8] == bytes(5)  # gzip's flags, of which one says that a name follows, and its time


def test_thousands_of_records_stay_small(tmp_path: Path) -> None:
    space, rows, seconds = recorded_conv2d()
    measured = map(ok, space.configurations(rows), seconds.tolist())
    path = tmp_path / "r.jsonl.gz"
    write_recordings(path, [recorded(log(*measured), task=replace(TASK, space=space))])
    assert path.stat().st_size < 25 * len(rows)


def test_a_task_in_two_files_is_merged(tmp_path: Path) -> None:
    failed = Trial(ALL[1], Status.TIMEOUT, math.inf, 0.2, 0.1)
    parts = [log(ok(ALL[0]), failed), log(ok(ALL[0], 5.0), ok(ALL[1]), ok(ALL[2]))]
    paths = [tmp_path / f"{number}.jsonl" for number in range(2)]
    for path, part in zip(paths, parts, strict=True):
        write_recordings(path, [recorded(part)])
    assert read_recordings(paths) == [recorded(*parts)]


@pytest.mark.parametrize(
    "change", [{"key": "other"}, {"space": tiny_space()}, {"target": {"kind": "cuda"}}], ids=str
)
def test_different_kernels_of_one_name_are_refused(tmp_path: Path, change: dict) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    write_recordings(paths[0], [recorded()])
    write_recordings(paths[1], [recorded(task=replace(TASK, **change))])
    with pytest.raises(UsageError, match=r"b\.jsonl: conv2d is another kernel"):
        read_recordings(paths)


def test_recordings_of_two_machines_are_not_merged(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    write_recordings(paths[0], [recorded()])
    write_recordings(paths[1], [replace(recorded(), threads=8)])
    with pytest.raises(UsageError, match="of another machine"):
        read_recordings(paths)


# -- what is no recording


def header() -> str:
    return json.dumps(
        {
            "recording": 1,
            "name": "conv2d",
            "key": "key",
            "weight": 1,
            "flops": 0,
            "arguments": [],
            "target": {},
            "machine": "",
            "threads": 1,
            "versions": {},
            "space": [[{"kind": "choice", "values": [0, 1]}]],
        }
    )


def test_a_recording_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f'{header()}\n[0,[1],"ok",0.001,0.2,0]\n[0,[0],"crashed",null,1,0]\n')
    [recording] = read_recordings([path])
    assert [o.status for o in recording.outcomes] == [Status.CRASHED, Status.OK]
    assert [o.seconds for o in recording.outcomes] == [math.inf, 0.001]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[",
        "3",
        "{}",
        '{"recording": 2}',
        header().replace('"threads": 1', '"threads": 0'),
        header().replace('"choice"', '"joice"'),
        "[]",
        '[0,[2],"ok",0.001,0.2,0.1]',
        '[1,[0],"ok",0.001,0.2,0.1]',
        '[0,[0,0],"ok",0.001,0.2,0.1]',
        '[0,[0.5],"ok",0.001,0.2,0.1]',
        '[0,[0],"fine",0.001,0.2,0.1]',
        '[0,[0],"ok",null,0.2,0.1]',
        '[0,[0],"ok",0,0.2,0.1]',
        '[0,[0],"ok",NaN,0.2,0.1]',
        '[0,[0],"ok",0.001,-1,0.1]',
        '[0,[0],"ok",0.001,Infinity,0.1]',
        f'[0,[0],"ok",0.001,{10**400},0.1]',
        '[0,[0],"timeout",0.001,0.2,0.1]',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f'{header()}\n[0,[1],"ok",0.001,0.2,0.1]\n{line}\n')
    with pytest.raises(UsageError, match=r"r\.jsonl, line 3: "):
        read_recordings([path])


def test_records_need_a_task(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('[0,[1],"ok",0.001,0.2,0.1]\n')
    with pytest.raises(UsageError, match="line 1: this does not open the recording of a task"):
        read_recordings([path])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.jsonl", b""),
        ("empty.jsonl.gz", gzip.compress(b"")),
        ("plain.jsonl.gz", b"{}\n"),
        ("cut.jsonl.gz", gzip.compress(header().encode())[:-9]),
        ("binary.jsonl", b"\xff\xfe\x00"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UsageError, match=name):
        read_recordings([path])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no recording"):
        read_recordings([tmp_path / "missing.jsonl"])


def test_a_recording_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    write_recordings(path, [recorded(log(*map(ok, ALL)))])
    [recording] = read_recordings([path])
    replay = ReplayMeasurer(recording)
    [outcomes] = replay.measure([Batch(recording.task, ALL, math.inf)])
    assert outcomes == [next(o for o in recording.outcomes if o.configuration == c) for c in ALL]
    assert (replay.exact, replay.estimated) == (len(ALL), 0)
