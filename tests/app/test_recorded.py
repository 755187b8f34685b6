"""Everything that a run timed is in its records, with what it was timed for."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from chameleon_tuner.app import tune as tuner
from chameleon_tuner.app.folder import RunRecords
from chameleon_tuner.ports.records import FINAL, SEARCH
from chameleon_tuner.records import RecordStore


@pytest.fixture
def store(tuned_folder: Path, tmp_path: Path) -> RecordStore:
    return RecordStore.open(shutil.copy(tuned_folder / "records.db", tmp_path / "records.db"))


def test_the_finals_are_recorded_beside_the_trials(store: RecordStore, tuned_folder: Path) -> None:
    summary = json.loads((tuned_folder / "summary.json").read_text())
    [environment] = store.environments()
    finals = {
        module: secs
        for workload in store.workloads()
        for module, secs in store.samples(workload, environment, FINAL).items()
    }
    deployed = [task for task in summary["tasks"] if task["configuration"]]
    assert len(finals) >= len(deployed) > 0
    medians = {1e6 * sorted(secs)[len(secs) // 2] for secs in finals.values() if len(secs) == 5}
    assert all(any(task["best_us"] == pytest.approx(us) for us in medians) for task in deployed)


def test_what_no_configuration_describes_is_recorded(
    store: RecordStore, tuned_folder: Path
) -> None:
    summary = json.loads((tuned_folder / "summary.json").read_text())
    [run] = store.runs()
    timings = store.timings(run.id)
    kernels = [timing for timing in timings if timing.workload]
    assert len(kernels) == len(summary["tasks"])
    assert {(timing.subject, timing.purpose) for timing in kernels} == {("untuned", FINAL)}
    models = {timing.subject: timing.seconds for timing in timings if not timing.workload}
    assert set(models) == set(summary["latency_ms"])
    assert all(min(secs) > 0 for secs in models.values())


def test_default_schedules_are_recalled_by_the_run_that_timed_them(store: RecordStore) -> None:
    [run], [environment] = store.runs(), store.environments()
    records = RunRecords(store, run.id, environment)
    assert records.defaults() == {}  # the run had no time budget: its untuned kernels are of finals
    found = {"fast": 1e-6, "failed": math.inf}
    records.add_defaults(found)
    assert records.defaults() == found
    assert RunRecords(store, run.id + 1, environment).defaults() == {}


def test_a_resumed_run_with_a_time_budget_times_no_default_schedule_again(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuner, "search", interrupted)
    folder = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tuner.tune(tiny_onnx, folder, time_budget="6s")
    with RecordStore.open(folder / "records.db") as store:
        [run] = store.runs()
        found = [timing for timing in store.timings(run.id) if timing.purpose == SEARCH]
    assert found
    assert all(len(timing.seconds) == 1 for timing in found)
