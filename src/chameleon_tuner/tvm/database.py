"""Winners as a MetaSchedule database, for whoever compiles with TVM's own tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tvm.s_tir import meta_schedule
from tvm.target import Target

from chameleon_tuner.space import Configuration
from chameleon_tuner.task import Task
from chameleon_tuner.tvm.traces import TracedSpace, load_module

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"


def export_database(
    folder: Path, tasks: Sequence[Task], winners: Mapping[str, tuple[Configuration, float]]
) -> None:
    """Write the winners into a folder as MetaSchedule's JSON database, from scratch.

    Args:
        folder: receives `database_workload.json` and `database_tuning_record.json`.
        tasks: of the network.
        winners: configuration and seconds, by key of the task.
    """
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)
    database = meta_schedule.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    for task in tasks:
        if task.key in winners:
            configuration, seconds = winners[task.key]
            target = Target(dict(task.target))
            space = TracedSpace(load_module(task.module), target)
            workload = database.commit_workload(space.module)
            database.commit_tuning_record(
                meta_schedule.database.TuningRecord(
                    space.replay(configuration).schedule.trace,
                    workload,
                    [seconds],
                    target,
                    meta_schedule.arg_info.ArgInfo.from_entry_func(space.module),
                )
            )
