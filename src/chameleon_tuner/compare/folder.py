"""The folder of a comparison: its terms, its tasks, and a file for every run.

comparison.json           the terms; another comparison is not mixed in
tasks.json                the suite's tasks; their modules are tasks/<name>.module.json
runs/<task>.<recipe>.<seed>.json
neutral/<task>.json       the neutral timer's samples
messages/                 what the runs' processes printed
results.json, report.html, figures/, recording.jsonl.gz
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.compare.contest import Run
from chameleon_tuner.compare.runlog import RunLog, read_log
from chameleon_tuner.errors import OutputError
from chameleon_tuner.folder import make_folder
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.task import Task
from chameleon_tuner.writing import write_whole

TERMS, RESULTS, RECORDING = "comparison.json", "results.json", "recording.jsonl.gz"


@dataclass(frozen=True)
class Folder:
    """Where everything of a comparison is.

    Attributes:
        path: of the folder.
    """

    path: Path

    def check(self, terms: Mapping[str, Any]) -> None:
        """Make sure that these terms' comparison may write here, without changing anything.

        Raises:
            OutputError: it holds something else.
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
        """Make the folder; `check` comes before.

        Raises:
            OutputError: it cannot be written.
        """
        make_folder(self.path)
        for name in ("tasks", "runs", "neutral", "messages"):
            (self.path / name).mkdir(exist_ok=True)
        write_json(self.path / TERMS, dict(terms))

    def _terms(self) -> dict[str, Any]:
        try:
            held = json.loads((self.path / TERMS).read_text())
        except ValueError:
            held = None
        if not isinstance(held, dict):
            raise OutputError(f"{self.path / TERMS} is damaged; give another --out")
        return held

    # -- tasks

    def module(self, task: str) -> Path:
        """TVM's JSON of a task's module."""
        return self.path / "tasks" / f"{task}.module.json"

    def keep_tasks(self, tasks: Sequence[Task]) -> None:
        """Write a suite's tasks, for the runs' processes and for the next time."""
        for task in tasks:
            self.module(task.name).write_text(task.module)
        write_json(self.path / "tasks.json", [_plain(task) for task in tasks])

    def tasks(self) -> list[Task]:
        """The suite's tasks; none when they have not been written."""
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
        """Where the log of a run is, or will be."""
        return self.path / "runs" / f"{run.name}.json"

    def finished(self, run: Run) -> RunLog | None:
        """The log of a run that ended well; None for what is to be run, again or at all."""
        path = self.log(run)
        if not path.exists():
            return None
        log = read_log(path)
        return None if log.error else log


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON; whoever reads the path sees all of it or nothing."""
    write_whole(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def _plain(task: Task) -> dict[str, Any]:
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
