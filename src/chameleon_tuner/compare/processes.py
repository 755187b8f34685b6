"""Runs one after another, each in a fresh process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from chameleon_tuner.compare.contender import Assignment, partial_path
from chameleon_tuner.compare.contest import METASCHEDULE
from chameleon_tuner.compare.eased import eased_path
from chameleon_tuner.compare.runlog import RunLog, read_log, write_log
from chameleon_tuner.machine import thread_environment

_GRACE_SECS = 600.0
_TRIAL_SECS = 30.0
"""A run is ended that takes longer than the grace and so much a trial: it hangs."""


def run_process(assignment: Assignment, messages: Path) -> RunLog:
    """Run a contestant to its end; its log, which is on disk then.

    A process that fails or hangs leaves what it had measured, and an error in the log.

    Args:
        assignment: what it is told.
        messages: receives what it prints.
    """
    path = Path(assignment.log)
    limit = _GRACE_SECS + min(assignment.terms.budget_secs, _TRIAL_SECS * assignment.terms.trials)
    command = [sys.executable, "-m", "chameleon_tuner.compare.contender", assignment.to_text()]
    with messages.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # held open: its end is that of the process
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
                os.killpg(process.pid, signal.SIGKILL)  # whatever it leaves behind, too
            process.communicate()
    if error:
        write_log(_broken_off(assignment, error), path)
    partial_path(path).unlink(missing_ok=True)
    return read_log(path)


def _environment(assignment: Assignment) -> dict[str, str]:
    """Thread counts; and what MetaSchedule is spared."""
    threads = thread_environment(assignment.threads)
    if assignment.recipe != METASCHEDULE:
        return threads
    return {**threads, "PYTHONPATH": eased_path(Path(assignment.scratch))}


def _broken_off(assignment: Assignment, error: str) -> RunLog:
    partial = partial_path(Path(assignment.log))
    if partial.exists():
        return replace(read_log(partial), error=error)
    terms = assignment.terms
    return RunLog(terms.label, assignment.task, terms.seed, 0.0, 0.0, error=error)


def _reason(code: int, messages: Path) -> str:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    lines = messages.read_text(errors="replace").strip().splitlines()
    return f"{how}: {lines[-1][:200]}" if lines else how
