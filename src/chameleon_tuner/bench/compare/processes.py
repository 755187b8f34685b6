"""The process of one run, from both sides; its command is this module with JSON behind it.

The run's clock starts with the process, so it includes everything that a user waits for.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.patches import eased_path
from chameleon_tuner.bench.compare.searching import Keep, Terms, searched
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import HasCandidates
from chameleon_tuner.ports.runlog import OUR_STRATEGY, RunLog, is_metaschedule, read_log, write_log
from chameleon_tuner.search.recipes import resolve_recipe
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import thread_environment


@dataclass(frozen=True)
class Assignment:
    """The description of a run that its process receives.

    Attributes:
        task: Name of the task.
        key: Key of the task, see `Task`.
        module: Path of the task's module in TVM's JSON format.
        target: Target in TVM's JSON format.
        vector_bits: See `Task`.
        recipe: Name of a recipe, or `metaschedule`.
        terms: See `Terms`.
        log: Path of the log that the process writes.
        scratch: Temporary folder of this run, for the files of MetaSchedule.
        handler: Module and attribute of the request handler of the worker processes.
        threads: Number of threads that kernels are tuned for.
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
    handler: tuple[str, str]
    threads: int

    def to_text(self) -> str:
        """Serialise the assignment to JSON, as a command-line argument of the process."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_text(text: str) -> Assignment:
        """Parse the output of `to_text`."""
        data = json.loads(text)
        return Assignment(
            **{**data, "terms": Terms(**data["terms"]), "handler": tuple(data["handler"])}
        )


def partial_path(log: Path) -> Path:
    """Return the path of the partial log, which a run rewrites after every batch."""
    return log.with_name(f"{log.name}.partial")


def main() -> None:
    """Execute the run that the command-line argument describes, and write its log."""
    clock = Stopwatch(from_process_start=True)
    _end_with_parent()
    assignment = Assignment.from_text(sys.argv[1])
    path = Path(assignment.log)

    def keep(log: RunLog) -> None:
        write_log(log, partial_path(path))

    run = _metaschedule if is_metaschedule(assignment.recipe) else _recipe
    log = run(assignment, clock, keep)
    write_log(log, path)
    partial_path(path).unlink(missing_ok=True)


def _recipe(assignment: Assignment, clock: Stopwatch, keep: Keep) -> RunLog:
    """Run a recipe of this project."""
    recipe = resolve_recipe(assignment.recipe)
    # The pool starts first, so that its processes load TVM in parallel with this process.
    handler = HandlerEntry[HasCandidates](*assignment.handler)
    with WorkerPool(handler, assignment.threads, {}) as pool:
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
    """Generate the design space of a task."""
    from chameleon_tuner.backends.tvm.rewrites.base import traced_space  # loads TVM (about 1 s)

    return traced_space(module, target).design


def _metaschedule(assignment: Assignment, clock: Stopwatch, keep: Keep) -> RunLog:
    """Run MetaSchedule."""
    from chameleon_tuner.backends.tvm import metaschedule as peer

    terms, scratch = assignment.terms, Path(assignment.scratch)
    request = peer.PeerRequest(
        terms.label,
        assignment.task,
        Path(assignment.module).read_text(),
        assignment.target,
        terms.seed,
        terms.trials,
        terms.budget_secs,
        ours=assignment.recipe == OUR_STRATEGY,
    )
    return peer.tune(request, scratch, clock, keep)


def _end_with_parent() -> None:
    """Kill this process group when standard input ends.

    It is a pipe that the comparison's process holds open, so it ends with that process.
    """

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


_GRACE_SECS = 600.0
_TRIAL_SECS = 30.0
"""A run is killed after `_GRACE_SECS` plus its time budget or `_TRIAL_SECS` per trial.

Of the two the lesser is taken; a run that takes longer is assumed to hang."""


def run_process(assignment: Assignment, messages: Path) -> RunLog:
    """Execute a run in a new process, and return its log, which is then on disk, too.

    If the process fails or hangs, the log holds the batches before, and an error.

    Args:
        assignment: Description of the run.
        messages: Path of the file that receives the output of the process.
    """
    path = Path(assignment.log)
    limit = _GRACE_SECS + min(assignment.terms.budget_secs, _TRIAL_SECS * assignment.terms.trials)
    command = [
        sys.executable,
        "-m",
        "chameleon_tuner.bench.compare.processes",
        assignment.to_text(),
    ]
    with messages.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # held open; the process ends itself when the pipe is closed
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **_environment(assignment)},
        )
        try:
            code = process.wait(limit)
            error = "" if code == 0 else _reason(code, messages)
        except subprocess.TimeoutExpired:
            error = f"had not ended after {limit:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # including processes that it left behind
            process.communicate()
    if error:
        write_log(_broken_off(assignment, error), path)
    partial_path(path).unlink(missing_ok=True)
    return read_log(path)


def _environment(assignment: Assignment) -> dict[str, str]:
    """Return the environment variables of a run's process.

    They set the thread counts, and for MetaSchedule the path of `eased_path`.
    """
    threads = thread_environment(assignment.threads)
    if not is_metaschedule(assignment.recipe):
        return threads
    return {**threads, "PYTHONPATH": eased_path(Path(assignment.scratch))}


def _broken_off(assignment: Assignment, error: str) -> RunLog:
    """Return the log of a run that ended with an error: its partial log, or an empty one."""
    partial = partial_path(Path(assignment.log))
    if partial.exists():
        return replace(read_log(partial), error=error)
    terms = assignment.terms
    return RunLog(terms.label, assignment.task, terms.seed, 0.0, 0.0, error=error)


def _reason(code: int, messages: Path) -> str:
    """Describe the exit of a failed process by its exit code and its last line of output."""
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    lines = messages.read_text(errors="replace").strip().splitlines()
    return f"{how}: {lines[-1][:200]}" if lines else how


if __name__ == "__main__":
    main()
