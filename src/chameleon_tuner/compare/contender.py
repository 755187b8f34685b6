"""A run's own process: `python -m chameleon_tuner.compare.contender JSON`.

Everything a user waits for is on its clock, which starts with the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.compare.contest import METASCHEDULE
from chameleon_tuner.compare.runlog import RunLog, write_log
from chameleon_tuner.compare.searching import Keep, Terms, searched
from chameleon_tuner.measure.local import LocalMeasurer
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.recipes import resolve_recipe
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task


@dataclass(frozen=True)
class Assignment:
    """What the process is told.

    Attributes:
        task: name of the task.
        key: of the task.
        module: path of the task's module, TVM's JSON.
        target: TVM's JSON of the target.
        vector_bits: see `Task`.
        recipe: a recipe's name, or `metaschedule`.
        terms: see `Terms`.
        log: path of the log it writes.
        scratch: a folder of its own, for files of another tuner.
        handler: of the worker processes.
        threads: that kernels are tuned with.
    """

    task: str
    key: str
    module: str
    target: dict[str, Any]
    vector_bits: int
    recipe: str
    terms: Terms
    log: str
    scratch: str
    handler: str
    threads: int

    def to_text(self) -> str:
        """As an argument of the process."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_text(text: str) -> Assignment:
        """Inverse of `to_text`."""
        data = json.loads(text)
        return Assignment(**{**data, "terms": Terms(**data["terms"])})


def partial_path(log: Path) -> Path:
    """Where the log of a run that has not ended is."""
    return log.with_name(f"{log.name}.partial")


def main() -> None:
    """Run what the argument says, and write the log."""
    clock = Stopwatch(from_process_start=True)
    _end_with_parent()
    assignment = Assignment.from_text(sys.argv[1])
    path = Path(assignment.log)

    def keep(log: RunLog) -> None:
        write_log(log, partial_path(path))

    run = _metaschedule if assignment.recipe == METASCHEDULE else _recipe
    log = run(assignment, clock, keep)
    write_log(log, path)
    partial_path(path).unlink(missing_ok=True)


def _recipe(assignment: Assignment, clock: Stopwatch, keep: Keep) -> RunLog:
    recipe = resolve_recipe(assignment.recipe)
    # The workers' process loads TVM while this one does.
    with WorkerPool(assignment.handler, assignment.threads, {}) as pool:
        module = Path(assignment.module).read_text()
        space = _design(module, assignment.target)
        task = Task(
            assignment.task,
            assignment.key,
            module,
            assignment.target,
            space,
            vector_bits=assignment.vector_bits,
        )
        measurer = LocalMeasurer(pool, clock=clock)
        return searched(task, recipe, assignment.terms, measurer, clock, keep)


def _design(module: str, target: dict[str, Any]) -> DesignSpace:
    from chameleon_tuner.tvm.traces import traced_space  # loads TVM, a second

    return traced_space(module, target).design


def _metaschedule(assignment: Assignment, clock: Stopwatch, keep: Keep) -> RunLog:
    from chameleon_tuner.tvm import peer

    terms, scratch = assignment.terms, Path(assignment.scratch)
    request = peer.PeerRequest(
        terms.label,
        assignment.task,
        Path(assignment.module).read_text(),
        assignment.target,
        terms.seed,
        terms.trials,
        terms.budget_secs,
    )
    return peer.tune(request, scratch, clock, keep)


def _end_with_parent() -> None:
    """Standard input is a pipe from the comparison: its end is that of this process group."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
