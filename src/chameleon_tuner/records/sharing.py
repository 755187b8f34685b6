"""What a run takes from the store of all runs before it begins, and what it gives back.

A run measures into its own folder, whatever happens to the store. It begins with a copy of what the
store knows of its kernels and of their relatives; the copy is part of the folder, so that the same
command goes on as if it had not been interrupted, however the store has grown meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import cast

from sqlalchemy import Connection, and_, select

from chameleon_tuner.ports.records import Environment, PastSearch, RunInfo, Workload
from chameleon_tuner.records import rows
from chameleon_tuner.records.portable import PortableRecord, past_searches, read_portable
from chameleon_tuner.records.schema import ENVIRONMENT, RECORD, WORKLOAD
from chameleon_tuner.records.store import RecordStore

BEGAN_WITH = "began with"
"""The recipe of the run, in a folder, to which the copies from the store belong."""

RELATIVES = 4
"""Relatives of a kernel whose records are copied, those of the nearest number of operations. A fit
takes 512 records of all relatives together (`search.cost.shared.MOST_RECORDS`)."""

MOST_RELATIVES = 24
"""Relatives of a whole network; more of them take seconds to copy."""

RECORDS_EACH = 128
"""Records that are copied of one relative: the first of its search, which are the most diverse."""


def began_with(run: RunInfo) -> RunInfo:
    """Return the run, in the folder of another run, to which the copies from the store belong."""
    return RunInfo(run.model, BEGAN_WITH, run.seed, {"run": run.fingerprint})


def begin_with(
    own: RecordStore,
    run: RunInfo,
    store: RecordStore | None,
    workloads: Sequence[Workload],
    environment: Environment,
) -> list[PastSearch]:
    """Return what a run knows before it measures anything.

    The first call of a run copies it from the store into the run's own records; later calls return
    the same, also without the store. A run that has measured without a store goes on without one.

    Args:
        own: The records in the folder of the run.
        run: The run.
        store: The store of all runs; None for a run that keeps to its folder.
        workloads: The kernels of the run.
        environment: Where it measures.

    Returns:
        What was measured of these kernels and of their relatives.

    Raises:
        RecordsError: A store cannot be read or written; nothing was copied then.
    """
    info = began_with(run)
    known = own.run_id(info)
    if known is None:
        run_id = own.run_id(run)
        begun = run_id is not None and any(own.count(run_id).values())
        if store is None or begun:
            return []
        chosen = _chosen(store, workloads, environment)
        own.add(chosen, info)
        return past_searches(chosen)
    return own.past(known)


def _chosen(
    store: RecordStore, workloads: Sequence[Workload], environment: Environment
) -> list[PortableRecord]:
    """Return all records of the kernels, and some of their relatives."""
    with store.reading() as connection:
        found = [r for _, r in read_portable(connection, _measured_here(workloads, environment))]
        for place in _relatives(connection, workloads, environment):
            some = select(RECORD.c.id).where(_at(place)).order_by(RECORD.c.id).limit(RECORDS_EACH)
            found += [r for _, r in read_portable(connection, RECORD.c.id.in_(some))]
    return found


def _measured_here(workloads: Sequence[Workload], environment: Environment) -> rows.Condition:
    """Return the condition that selects the records of workloads in one environment."""
    ids = select(WORKLOAD.c.id).where(WORKLOAD.c.hash.in_([one.hash for one in workloads]))
    there = select(ENVIRONMENT.c.id).where(ENVIRONMENT.c.fingerprint == environment.fingerprint)
    return RECORD.c.workload_id.in_(ids) & (RECORD.c.environment_id == there.scalar_subquery())


_Place = tuple[int, int]
"""Ids of a workload and of an environment."""


def _at(place: _Place) -> rows.Condition:
    return and_(RECORD.c.workload_id == place[0], RECORD.c.environment_id == place[1])


def _relatives(
    connection: Connection, workloads: Sequence[Workload], environment: Environment
) -> list[_Place]:
    """Return where the nearest relatives of the workloads were measured, the nearest first.

    The nearest relative of a kernel is the kernel itself, where it was measured elsewhere only.
    """
    families: dict[str, dict[int, Workload]] = defaultdict(dict)
    mine = {one.family for one in workloads if one.family}
    in_family = WORKLOAD.c.family.in_(list(mine))
    for key, one in rows.workloads_by_id(connection, in_family, modules=False).items():
        families[one.family][key] = one
    distances: dict[int, float] = {}
    for one in workloads:
        others = families.get(one.family, {})
        ranked = [(_distance(one, other), key) for key, other in others.items()]
        for distance, key in heapq.nsmallest(RELATIVES, ranked):
            distances[key] = min(distance, distances.get(key, math.inf))
    own = {one.hash for one in workloads}
    known = {key for others in families.values() for key, one in others.items() if one.hash in own}
    here = _id_of(connection, environment)
    nearest = sorted(distances, key=distances.__getitem__)
    places = (_place_of(connection, key, here, known) for key in nearest)
    return list(itertools.islice((place for place in places if place), MOST_RELATIVES))


def _distance(mine: Workload, other: Workload) -> float:
    """Return how far the sizes of two workloads are apart; 0 for the same one."""
    sizes = [float(one.facts.get("flops") or 1.0) for one in (mine, other)]
    return 0.0 if mine.hash == other.hash else 1e-6 + abs(math.log(sizes[0] / sizes[1]))


def _id_of(connection: Connection, environment: Environment) -> int | None:
    fingerprint = ENVIRONMENT.c.fingerprint == environment.fingerprint
    return connection.scalar(select(ENVIRONMENT.c.id).where(fingerprint))


def _place_of(
    connection: Connection, workload_id: int, here: int | None, own: Collection[int]
) -> _Place | None:
    """Return the environment to learn of a workload from: this one, or else the latest."""
    query = select(RECORD.c.environment_id).where(RECORD.c.workload_id == workload_id).distinct()
    measured = set(connection.scalars(query))
    if here in measured:
        return None if workload_id in own else (workload_id, cast(int, here))
    return (workload_id, max(measured)) if measured else None
