"""Durable records of measurements.

A records file holds everything that was ever timed: which workload, in which environment, in
which run, what was asked for, what ran, how it ended, and every sample. It is append-only, and a
batch is one transaction. A search is resumed by running it again from its start with a `Memory`
of the file in place of the hardware, as far as the records reach.
"""

from chameleon_tuner.records.entries import (
    REPEAT,
    SEARCH,
    Environment,
    Record,
    RunInfo,
    StoredRun,
    Workload,
)
from chameleon_tuner.records.memory import Memory
from chameleon_tuner.records.store import RecordStore

__all__ = [
    "REPEAT",
    "SEARCH",
    "Environment",
    "Memory",
    "Record",
    "RecordStore",
    "RunInfo",
    "StoredRun",
    "Workload",
]
