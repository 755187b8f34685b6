"""Winners as a MetaSchedule database, for whoever compiles with TVM's own tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tvm.s_tir import meta_schedule

from chameleon_tuner.task import Finalist
from chameleon_tuner.tvm.traces import TracedSpace

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"


def export_database(
    folder: Path,
    spaces: Mapping[str, TracedSpace],
    winners: Sequence[tuple[Finalist, float]],
) -> None:
    """Write the winners into a folder as MetaSchedule's JSON database, from scratch.

    Args:
        folder: receives `database_workload.json` and `database_tuning_record.json`.
        spaces: of the network's tasks, by key.
        winners: what is deployed, and its seconds; the workload of another algorithm is its own.
    """
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)
    database = meta_schedule.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    for winner, seconds in winners:
        space = spaces[winner.task.key]
        database.commit_tuning_record(
            meta_schedule.database.TuningRecord(
                space.replay(winner.configuration).schedule.trace,
                database.commit_workload(space.module),
                [seconds],
                space.target,
                meta_schedule.arg_info.ArgInfo.from_entry_func(space.module),
            )
        )
