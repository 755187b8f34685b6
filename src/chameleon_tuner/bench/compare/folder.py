"""The folder of a comparison: its terms, its tasks, and a file for every run.

comparison.json           the terms; runs with other terms are refused
tasks.json                the tasks of the suite; their modules are tasks/<name>.module.json
runs/<task>.<recipe>.<seed>.json    the log of each run
neutral/<task>.json       samples of the neutral timer
messages/                 output of the runs' processes
results.json, report.html, figures/, recording.jsonl.gz    the results
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.bench.compare.contest import Run
from chameleon_tuner.core.errors import OutputError
from chameleon_tuner.ports.runlog import RunLog, read_log
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.files import make_folder, write_whole

TERMS, RESULTS, RECORDING, T4 = "comparison.json", "results.json", "recording.jsonl.gz", "t4"


@dataclass(frozen=True)
class Folder:
    """The folder with all files of a comparison.

    Attributes:
        path: Path of the folder.
    """

    path: Path

    def check(self, terms: Mapping[str, Any]) -> None:
        """Raise an `OutputError` unless a comparison with these terms can use the folder.

        Nothing is changed on disk.

        Raises:
            OutputError: The folder is a file, holds other files, or holds a comparison with other
                terms.
        """
        path = self.path
        if not path.exists():
            return
        if not path.is_dir():
            raise OutputError(f"{path} is a file; give --out a folder")
        if not (path / TERMS).exists():
            if any(path.iterdir()):
                raise OutputError(
                    f"{path} is not empty and holds no comparison; give another --out"
                )
            return
        held = self._terms()
        other = [key for key in terms if held.get(key) != terms[key]]
        if other:
            key = other[0]
            raise OutputError(
                f"{path} holds a comparison with other terms ({key}: {held.get(key)}, not "
                f"{terms[key]}); give another --out"
            )

    def begin(self, terms: Mapping[str, Any]) -> None:
        """Make the folder and write the terms; call `check` first.

        Raises:
            OutputError: The folder cannot be written.
        """
        make_folder(self.path)
        for name in ("tasks", "runs", "neutral", "messages"):
            (self.path / name).mkdir(exist_ok=True)
        write_json(self.path / TERMS, dict(terms))

    def _terms(self) -> dict[str, Any]:
        """Read the terms of the comparison in the folder."""
        try:
            held = json.loads((self.path / TERMS).read_text())
        except ValueError:
            held = None
        if not isinstance(held, dict):
            raise OutputError(f"{self.path / TERMS} is damaged; give another --out")
        return held

    # -- tasks

    def module(self, task: str) -> Path:
        """Return the path of a task's module in TVM's JSON format."""
        return self.path / "tasks" / f"{task}.module.json"

    def keep_tasks(self, tasks: Sequence[Task]) -> None:
        """Write the tasks of the suite, for the runs' processes and for later sessions."""
        for task in tasks:
            self.module(task.name).write_text(task.module)
        write_json(self.path / "tasks.json", [_plain(task) for task in tasks])

    def tasks(self) -> list[Task]:
        """Read the tasks of the suite; the list is empty if they have not been written yet."""
        index = self.path / "tasks.json"
        if not index.exists():
            return []
        return [
            Task(
                **{
                    **data,
                    "space": from_plain(data["space"]),
                    "arguments": tuple(data["arguments"]),
                },
                module=self.module(data["name"]).read_text(),
            )
            for data in json.loads(index.read_text())
        ]

    # -- runs

    def log(self, run: Run) -> Path:
        """Return the path of the log of a run, which may not exist yet."""
        return self.path / "runs" / f"{run.name}.json"

    def finished(self, run: Run) -> RunLog | None:
        """Return the log of a run, or None if it is missing or ended with an error."""
        path = self.log(run)
        if not path.exists():
            return None
        log = read_log(path)
        return None if log.error else log


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON (no nan, no infinity) to a file, atomically."""
    write_whole(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def _plain(task: Task) -> dict[str, Any]:
    """Convert a task to JSON values, without its module."""
    return {
        "name": task.name,
        "key": task.key,
        "target": dict(task.target),
        "space": to_plain(task.space),
        "weight": task.weight,
        "flops": task.flops,
        "arguments": list(task.arguments),
        "vector_bits": task.vector_bits,
    }
