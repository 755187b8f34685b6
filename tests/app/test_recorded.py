"""Everything that a run timed is in its records, with what it was timed for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chameleon_tuner.ports.records import FINAL
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
