"""Records in the files of MetaSchedule's own database, both ways."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.target import Target

from chameleon_tuner.backends.tvm.database import RecordsDatabase
from chameleon_tuner.backends.tvm.deploy.build import RECORDS, WORKLOADS
from chameleon_tuner.backends.tvm.network import single_task
from chameleon_tuner.backends.tvm.rewrites.base import loaded
from chameleon_tuner.backends.tvm.space.traces import NoSpaceError, TracedSpace
from chameleon_tuner.backends.tvm.targets import as_json
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError, last_line
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.space.task import Task

FILES = (WORKLOADS, RECORDS)
"""The files of a MetaSchedule database in its folder."""


@dataclass(frozen=True)
class Imported:
    """What a MetaSchedule database has of one kernel.

    Attributes:
        task: The kernel.
        target: The target, as JSON values.
        timed: Configurations with the structural hash of their module and the seconds of all runs.
    """

    task: Task
    target: Mapping[str, Any]
    timed: Sequence[tuple[Configuration, str, tuple[float, ...]]] = field(repr=False)


def write_files(folder: Path, database: RecordsDatabase, most: int) -> int:
    """Write the fastest records of every kernel into the files of a MetaSchedule database.

    Args:
        folder: An existing folder.
        database: The records.
        most: The largest number of records of a kernel.

    Returns:
        The number of records that were written.
    """
    stored = meta_schedule.database.JSONDatabase(*(str(folder / name) for name in FILES))
    count = 0
    for records in database.by_workload():
        for record in itertools.islice(records, most):
            stored.commit_workload(record.workload.mod)
            stored.commit_tuning_record(record)
            count += 1
    return count


def read_files(folder: Path) -> tuple[list[Imported], int]:
    """Read the files of a MetaSchedule database.

    Args:
        folder: The folder of the database.

    Returns:
        What it has of each kernel, and the number of records that are no configuration of the
        kernel's design space, or that have no timing.

    Raises:
        RecordsError: The files are missing or damaged.
    """
    list(loaded())  # registers the schedule rules of all algorithms
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise RecordsError(f"{folder / missing[0]}: no such file; name a folder with {FILES}")
    try:
        stored = meta_schedule.database.JSONDatabase(*(str(folder / name) for name in FILES))
        records = stored.get_all_tuning_records()
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        raise RecordsError(f"{folder} holds no MetaSchedule database: {last_line(error)}") from None
    grouped: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for record in records:
        key = meta_schedule.utils.shash2hex(record.workload.mod), str(record.target)
        grouped[key].append(record)
    found, left_out = [], 0
    for mine in grouped.values():
        imported = _imported(mine)
        left_out += len(mine) - (len(imported.timed) if imported else 0)
        if imported is not None and imported.timed:
            found.append(imported)
    return found, left_out


def _imported(records: Sequence[Any]) -> Imported | None:
    """Return the records of one kernel; None if it has no design space."""
    module, target = records[0].workload.mod, records[0].target
    if target is None:
        return None
    try:
        space = TracedSpace(_named_main(module), Target(as_json(target)))
        task = single_task("imported", space)
    except (NoSpaceError, ValueError, RuntimeError):
        return None
    return Imported(task, as_json(target), list(_timed(space, records)))


def _named_main(module: IRModule) -> IRModule:
    [(_, function)] = module.functions.items()
    return IRModule({"main": function})


def _timed(
    space: TracedSpace, records: Sequence[Any]
) -> Iterator[tuple[Configuration, str, tuple[float, ...]]]:
    for record in records:
        secs = tuple(map(float, record.run_secs or ()))
        if not secs or not all(0 < one < 1e9 for one in secs):  # 1e10 stands for a failure
            continue
        configuration = space.configuration_of(record.trace)
        if configuration is None:
            continue
        try:
            replayed = space.replay(configuration)
        except RejectedError:
            continue
        yield replayed.configuration, replayed.structural_hash, secs
