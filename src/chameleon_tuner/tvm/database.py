"""Winners as a MetaSchedule database, for whoever compiles with TVM's own tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tvm.s_tir import meta_schedule

from chameleon_tuner.space import Configuration
from chameleon_tuner.tvm.traces import TracedSpace

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"


def export_database(
    folder: Path,
    spaces: Mapping[str, TracedSpace],
    winners: Mapping[str, tuple[Configuration, float]],
) -> None:
    """Write the winners into a folder as MetaSchedule's JSON database, from scratch.

    Args:
        folder: receives `database_workload.json` and `database_tuning_record.json`.
        spaces: of the network's tasks, by key.
        winners: configuration and seconds, by key of the task.
    """
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)
    database = meta_schedule.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    for key, (configuration, seconds) in winners.items():
        space = spaces[key]
        database.commit_tuning_record(
            meta_schedule.database.TuningRecord(
                space.replay(configuration).schedule.trace,
                database.commit_workload(space.module),
                [seconds],
                space.target,
                meta_schedule.arg_info.ArgInfo.from_entry_func(space.module),
            )
        )
