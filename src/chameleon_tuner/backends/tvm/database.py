"""Chameleon's records as a database of TVM's own tuner."""

from __future__ import annotations

import itertools
import json
import logging
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm.ir import IRModule
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.database import MemoryDatabase, PyDatabase, TuningRecord
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.graph import fuse, key_of
from chameleon_tuner.backends.tvm.rewrites.base import traced_space
from chameleon_tuner.backends.tvm.space.traces import TracedSpace, load_module
from chameleon_tuner.backends.tvm.targets import as_json
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import RejectedError

_PATTERN = "op_pattern"
_LOWERING = fuse.__module__

LOGGER = logging.getLogger("chameleon_tuner.database")


@dataclass(frozen=True)
class Candidate:
    """A measured candidate.

    Attributes:
        configuration: Its configuration.
        seconds: What a call takes.
    """

    configuration: Configuration
    seconds: float


@dataclass(frozen=True)
class MeasuredWorkload:
    """What was measured of a workload for a target.

    Attributes:
        module: TVM's JSON of the module.
        target: The target as JSON values.
        candidates: Its candidates, the best first.
    """

    module: str = field(repr=False)
    target: Mapping[str, Any] = field(repr=False)
    candidates: Sequence[Candidate] = field(repr=False)


@derived_object
class RecordsDatabase(PyDatabase):  # type: ignore[misc]  # TVM has no types
    """A database that serves measured candidates, and keeps what is committed in memory.

    A schedule is made when it is asked for. A record is served for its own target only, whereas
    TVM's databases serve what was tuned for another CPU, and workloads are compared by their
    structure. Where the database is used as a context, as `MetaScheduleApplyDatabase` needs it, and
    nothing that was asked for is in it, a warning at the end says so: TVM compiles such kernels
    without any schedule, and says nothing.

    Args:
        measured: The workloads.
        place: Where they come from, for messages.
    """

    def __init__(self, measured: Sequence[MeasuredWorkload], place: str) -> None:
        super().__init__()
        self._place = place
        self._measured: dict[str, list[MeasuredWorkload]] = {}
        for one in measured:
            self._measured.setdefault(_key(load_module(one.module)), []).append(one)
        self._spaces: dict[tuple[str, str], TracedSpace] = {}
        self._committed = MemoryDatabase()
        self._asked = Asked()

    def has_workload(self, mod: IRModule) -> bool:
        """See `Database.has_workload` of MetaSchedule."""
        return _key(mod) in self._measured or bool(self._committed.has_workload(mod))

    def commit_workload(self, mod: IRModule) -> Any:
        """See `Database.commit_workload` of MetaSchedule; it is kept in memory."""
        return self._committed.commit_workload(mod)

    def commit_tuning_record(self, record: Any) -> None:
        """See `Database.commit_tuning_record` of MetaSchedule; it is kept in memory."""
        self._committed.commit_tuning_record(record)

    def get_top_k(self, workload: Any, top_k: int) -> list[Any]:
        """See `Database.get_top_k` of MetaSchedule.

        What was committed comes first where it is faster than the best measured candidate.
        """
        mine = [
            record
            for measured in self._measured.get(_key(workload.mod), [])
            for record in self._records(measured, top_k, workload)
        ]
        committed = self._committed.get_top_k(workload, max(0, top_k))
        return _merged(mine, committed)[: max(0, top_k)]

    def get_all_tuning_records(self) -> list[Any]:
        """See `Database.get_all_tuning_records` of MetaSchedule; each is scheduled for it."""
        mine = list(itertools.chain.from_iterable(self.by_workload()))
        return [*mine, *self._committed.get_all_tuning_records()]

    def by_workload(self) -> Iterator[Iterator[Any]]:
        """Yield the measured records of every workload, the fastest first."""
        for one in itertools.chain.from_iterable(self._measured.values()):
            yield self._records(one, len(one.candidates), self._workload(one))

    def query_tuning_record(
        self, mod: IRModule, target: Target, workload_name: str | None = None
    ) -> Any:
        """See `Database.query_tuning_record` of MetaSchedule; it is of this very target."""
        key, wanted = _key(mod), as_json(target)
        measured = self._measured.get(key, [])
        found = _merged(
            [
                record
                for one in measured
                if one.target == wanted
                for record in self._records(one, 1, self._committed.commit_workload(mod))
            ],
            [record for record in self._of(mod) if as_json(record.target) == wanted],
        )
        (self._asked.found if found else self._asked.missed).add(key)
        if measured and not found:
            self._asked.elsewhere = measured[0].target, wanted
        return found[0] if found else None

    def _of(self, module: IRModule) -> list[Any]:
        """Return what was committed of a workload, the fastest first."""
        if not self._committed.has_workload(module):
            return []
        workload = self._committed.commit_workload(module)
        return list(self._committed.get_top_k(workload, len(self._committed)))

    def __len__(self) -> int:
        """Return the number of candidates, and of records that were committed."""
        mine = (len(one.candidates) for every in self._measured.values() for one in every)
        return sum(mine) + len(self._committed)

    def left(self) -> None:
        """Warn if nothing that was asked for since the last time was in the database."""
        asked, self._asked = self._asked, Asked()
        message = asked.complaint(self._place)
        if message:
            LOGGER.warning(message)

    def _records(self, measured: MeasuredWorkload, most: int, workload: Any) -> Iterator[Any]:
        """Yield records of a workload that is the measured one but for what no schedule needs."""
        space = self._space(measured)
        made = 0
        for candidate in measured.candidates:
            if made == most:
                return
            try:
                schedule = space.replay(candidate.configuration).schedule
            except RejectedError:  # it was measured with another version of TVM
                continue
            made += 1
            yield TuningRecord(
                schedule.trace,
                workload,
                [candidate.seconds],
                space.target,
                meta_schedule.arg_info.ArgInfo.from_entry_func(space.module),
            )

    def _workload(self, measured: MeasuredWorkload) -> Any:
        return self._committed.commit_workload(load_module(measured.module))

    def _space(self, measured: MeasuredWorkload) -> TracedSpace:
        key = measured.module, json.dumps(dict(measured.target), sort_keys=True)
        if key not in self._spaces:
            self._spaces[key] = traced_space(measured.module, measured.target)
        return self._spaces[key]


@dataclass
class Asked:
    """What a database was asked for.

    Attributes:
        found: Keys of the workloads that it had.
        missed: Keys of the others.
        elsewhere: The target of a record and the one that was asked for, where they differed.
    """

    found: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    elsewhere: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None

    def complaint(self, place: str) -> str:
        """Return a message if nothing was found; empty if something was, or nothing was asked."""
        if self.found or not self.missed:
            return ""
        none = f"no record of {place} is used: none of {len(self.missed)} kernels is in it"
        if self.elsewhere:
            recorded, asked = (json.dumps(dict(one), sort_keys=True) for one in self.elsewhere)
            return f"{none} for the target {asked}; compile for {recorded}"
        return f"{none}; lower the module by `lay_out` and `fuse` of {_LOWERING}"


def _merged(mine: Sequence[Any], committed: Sequence[Any]) -> list[Any]:
    """Return records with those that were committed first where they are faster than the best."""
    best = min((_mean_secs(record) for record in mine[:1]), default=math.inf)
    faster = [record for record in committed if _mean_secs(record) < best]
    return [*faster, *mine, *committed[len(faster) :]]


def _mean_secs(record: Any) -> float:
    return statistics.fmean(map(float, record.run_secs)) if record.run_secs else math.inf


def _key(module: IRModule) -> str:
    """Return the structural hash of a workload's module without its operator pattern.

    TVM annotates the pattern for the fusion, and `compile_relax` does so once more for functions
    that are fused already.
    """
    main = module["main"]
    if _PATTERN in (main.attrs or {}):
        module = IRModule({"main": main.without_attr(_PATTERN)})
    return key_of(module)


def _left(self: Any, *error: object) -> None:
    """Leave the context of the database, and say if it was of no use."""
    super(RecordsDatabase, self).__exit__(*error)
    self.left()


# TVM's derived objects pass on what its C++ code calls, and Python calls `__exit__` of the class.
RecordsDatabase.__exit__ = _left
