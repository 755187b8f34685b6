"""A run to its end, through the command and from a script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

FILES = {
    "database_tuning_record.json",
    "database_workload.json",
    "log.txt",
    "manifest.json",
    "model.params",
    "model.so",
    "records.db",
    "records.db.lock",
    "report.html",
    "report.md",
    "summary.json",
}


@pytest.fixture(scope="module")
def summary(tuned_folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((tuned_folder / "summary.json").read_text())
    return loaded


def test_the_folder_holds_the_result_and_nothing_else(tuned_folder: Path) -> None:
    assert {path.name for path in tuned_folder.iterdir()} == FILES


def test_progress_is_a_line_a_batch(tuned_run: Any, summary: dict[str, Any]) -> None:
    lines = tuned_run.stderr.splitlines()
    assert all(re.match(r"\[ *\d+\.\ds\] ", line) for line in lines), tuned_run.stderr
    assert f"tiny: {len(summary['tasks'])} tasks, at most 24 trials" in lines[0]
    batches = [re.search(r": (\d+) trials? .*best \S+ us, (\d+)/24$", line) for line in lines]
    found = [(int(match[1]), int(match[2])) for match in batches if match]
    assert sum(trials for trials, _ in found) == found[-1][1] == summary["trials"]["attempted"]


def test_the_summary_says_what_was_measured(tuned_run: Any, summary: dict[str, Any]) -> None:
    said = tuned_run.stdout
    assert summary["latency_ms"].keys() == {"tuned", "onnxruntime"}
    tuned, theirs = (summary["latency_ms"][name] for name in ("tuned", "onnxruntime"))
    assert re.match(r"tiny: (\S+) ms tuned, (\S+) ms onnxruntime: (\S+)x as fast", said)
    numbers = [float(number.replace(",", "")) for number in re.findall(r"[\d.,]*\d", said)[:3]]
    assert numbers == pytest.approx([tuned, theirs, theirs / tuned], rel=0.01)
    assert (summary["verified"], summary["deployed"], summary["reason"]) == (True, "tuned", "")
    assert "verified: its outputs agree with onnxruntime's" in said
    assert f"{summary['trials']['attempted']} trials: " in said
    assert "recorded" not in said
    kept = [task["name"] for task in summary["tasks"] if task["configuration"] is None]
    assert f"{len(kept)} of {len(summary['tasks'])} kernels stay untuned:" in said
    assert said.endswith(f"next: chameleon run {tuned_run.folder} --bench\n")


def test_the_report_has_every_task_and_number(tuned_folder: Path, summary: dict[str, Any]) -> None:
    report = (tuned_folder / "report.md").read_text()
    rows = re.findall(r"^\| `(\S+)` +\|(.*)\|$", report, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(task["name"] for task in summary["tasks"])
    trials = {name: int(cells.split("|")[6]) for name, cells in rows}
    assert trials == {task["name"]: task["trials"] for task in summary["tasks"]}
    for key, version in summary["versions"].items():
        assert f"- {key} {version}" in report
    assert json.dumps(summary["target"], sort_keys=True) in report
    (total,) = re.findall(r"^\| total +\| +(\S+) \|", report, re.MULTILINE)
    assert float(total) == pytest.approx(summary["seconds"]["total"], abs=0.06)


def test_the_reports_script_runs_with_the_bare_runtime(tuned_run: Any, tmp_path: Path) -> None:
    report = (tuned_run.folder / "report.md").read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```", report, re.MULTILINE | re.DOTALL)
    written = tmp_path / "y.npy"
    script += f"\nnp.save({str(written)!r}, outputs.numpy())\n"
    script += "import sys\nassert 'chameleon_tuner' not in sys.modules\n"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tuned_run.folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(tuned_run.model, providers=["CPUExecutionProvider"])
    zeros = np.zeros(session.get_inputs()[0].shape, np.float32)
    (expected,) = session.run(None, {"input": zeros})
    np.testing.assert_allclose(np.load(written), expected, rtol=1e-3, atol=1e-3)


def test_a_script_without_a_main_guard(tiny_onnx: Path, tmp_path: Path) -> None:
    """Worker processes do not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import chameleon_tuner\n"
        "print('started')\n"
        f"result = chameleon_tuner.tune({str(tiny_onnx)!r}, out='out', trials=8)\n"
        "assert callable(chameleon_tuner.tune)\n"
        "print(result.verified, result.trials['attempted'], result.speedup > 0)\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "started\nTrue 8 True\n"
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "report.md").is_file()
