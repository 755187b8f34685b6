"""The records of a run for TVM's own tuner."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import OutputError, RecordsError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import (
    FINAL,
    SEARCH,
    Environment,
    Record,
    RunInfo,
    StoredRun,
    Workload,
    canonical_json,
)
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.portable import PortableRecord
from chameleon_tuner.report.result import Result, TaskResult
from chameleon_tuner.system.files import RECORDS, make_folder
from chameleon_tuner.system.machine import versions

_TVM = "apache-tvm"

METASCHEDULE = "MetaSchedule"
"""What measured the records of an imported database."""

if TYPE_CHECKING:
    from chameleon_tuner.backends.tvm.database import Candidate, MeasuredWorkload


def ChameleonDatabase(place: str | Path) -> Any:  # noqa: N802 - it makes a class of TVM's
    """Return a MetaSchedule database that serves the records of a run.

    The winner of a kernel comes first, then the candidates of its final comparison, then those of
    the search, each by time. Of a kernel with a wrong finalist nothing but the winner is served.
    Records that an interrupted run left are served, too; nobody has compared their outputs.

    >>> with target, chameleon_tuner.ChameleonDatabase("tuned/"):  # doctest: +SKIP
    ...     scheduled = relax.transform.MetaScheduleApplyDatabase()(lowered)

    Args:
        place: A folder of `chameleon tune`, a records file, or the URL of a records database. It is
            read at once, and never changed.

    Returns:
        A `tvm.s_tir.meta_schedule.database.PyDatabase`.

    Raises:
        RecordsError: There are no records, they cannot be read, or they are of another TVM.
    """
    from chameleon_tuner.backends.tvm.database import RecordsDatabase

    source, verdicts = place, dict[str, _Verdict]()
    if "://" not in str(place):
        path = Path(place)
        source = path / RECORDS if path.is_dir() else path
        if not source.is_file() or not source.stat().st_size:  # opening would make a new store
            raise RecordsError(f"{place} holds no records; name a folder of `chameleon tune`")
        verdicts = _verdicts(source.parent)
    with RecordStore.open(source, upgrade=False) as store:
        measured = [
            found
            for environment in _of_this_tvm(store.environments(), place)
            for workload in store.workloads()
            if (found := _measured(store, workload, environment, verdicts)) is not None
        ]
    return RecordsDatabase(measured, str(place))


def export_files(place: str | Path, folder: Path, most: int) -> int:
    """Write the fastest records of a place as a MetaSchedule database.

    Args:
        place: See `ChameleonDatabase`.
        folder: The folder of the database, which is made.
        most: The largest number of records of a kernel.

    Returns:
        The number of records that were written.

    Raises:
        OutputError: The folder holds a database already, or cannot be made.
        RecordsError: See `ChameleonDatabase`.
    """
    from chameleon_tuner.backends.tvm.interchange import FILES, write_files

    database = ChameleonDatabase(place)
    if any((folder / name).exists() for name in FILES):
        raise OutputError(f"{folder} holds a MetaSchedule database already; name another folder")
    make_folder(folder)
    return write_files(folder, database, most)


def import_files(folder: Path) -> tuple[list[PortableRecord], int]:
    """Read a MetaSchedule database as records.

    It says nothing of the machine that it was measured on. Its records are of an environment that
    no run measures in: they teach the cost model, and never name a winner.

    Args:
        folder: The folder of the database.

    Returns:
        The records, and the number of those that cannot be used.

    Raises:
        RecordsError: The files are missing or damaged.
    """
    from chameleon_tuner.backends.tvm.interchange import read_files

    imported, left_out = read_files(folder)
    now = datetime.now(timezone.utc)
    run = StoredRun(0, RunInfo(str(folder.resolve()), METASCHEDULE, 0, {}), now)
    return [
        PortableRecord(
            Workload.of(one.task),
            Environment(
                canonical_json(dict(one.target)),
                f"unknown ({METASCHEDULE})",
                int(one.target.get("num-cores", 1)),
                {_TVM: versions([_TVM])[_TVM]},
            ),
            run,
            Record(0, SEARCH, now, Outcome(ran, ran, module, Status.OK, secs)),
        )
        for one in imported
        for ran, module, secs in one.timed
    ], left_out


def _of_this_tvm(environments: Sequence[Environment], place: str | Path) -> list[Environment]:
    """Return the environments of the installed TVM, to which alone configurations mean the same."""
    here = versions([_TVM])[_TVM]
    found = [one for one in environments if one.versions.get(_TVM) == here]
    if environments and not found:
        there = environments[-1].versions.get(_TVM)
        raise RecordsError(
            f"{place} was recorded with {_TVM} {there}, and {here} is installed: install the one "
            "that recorded it, or tune the model again"
        )
    return found


@dataclass(frozen=True)
class _Verdict:
    """What the final comparison said of a workload.

    Attributes:
        winner: The winner and its seconds; None without one.
        wrong: Whether a finalist of its kernel computed something else.
    """

    winner: tuple[Configuration, float] | None
    wrong: bool


def _verdicts(folder: Path) -> dict[str, _Verdict]:
    """Return what the summary in a folder says, by workload; empty without a summary."""
    try:
        tasks = Result.read(folder).tasks
        return {key: _verdict(task, key) for task in tasks for key in task.workloads}
    except (OutputError, KeyError, TypeError, ValueError):
        return {}


def _verdict(task: TaskResult, workload: str) -> _Verdict:
    wrong = any("wrong output" in reason for reason in task.refused)
    if task.configuration is None or workload != task.workloads[0]:  # the winner's is the first
        return _Verdict(None, wrong)
    winner = Configuration.from_json(dict(task.configuration))
    return _Verdict((winner, task.best_us / 1e6), wrong)


def _measured(
    store: RecordStore,
    workload: Workload,
    environment: Environment,
    verdicts: Mapping[str, _Verdict],
) -> MeasuredWorkload | None:
    from chameleon_tuner.backends.tvm.database import MeasuredWorkload

    candidates = list(_candidates(store, workload, environment, verdicts.get(workload.hash)))
    if not candidates:
        return None
    target = json.loads(environment.target)
    return MeasuredWorkload(workload.module, target, candidates)


def _candidates(
    store: RecordStore, workload: Workload, environment: Environment, verdict: _Verdict | None
) -> Iterator[Candidate]:
    from chameleon_tuner.backends.tvm.database import Candidate

    outcomes = [o for o in store.outcomes(workload, environment) if o.status is Status.OK]
    known = {outcome.configuration for outcome in outcomes}
    winner = verdict.winner if verdict else None
    if winner is not None and winner[0] in known:
        yield Candidate(*winner)
    if verdict is not None and verdict.wrong:
        return
    finals = store.samples(workload, environment, FINAL)
    timed = [
        (not finals.get(o.identity), statistics.median(finals.get(o.identity) or o.samples), o)
        for o in outcomes
    ]
    for _, secs, outcome in sorted(timed, key=lambda one: one[:2]):
        if winner is None or outcome.configuration != winner[0]:
            yield Candidate(outcome.configuration, secs)
