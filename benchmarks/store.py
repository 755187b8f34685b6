"""How long a large store takes: opening it, a kernel's history, adding a batch, beginning a run.

    python benchmarks/store.py FILE_OR_URL [--records 10000000]

Fills an empty store with made-up records, 250 for each kernel, and times every step with a newly
opened store. Goals: a kernel's history in 10 ms, opening in 100 ms, adding a batch of 64 in 20 ms.
Ten million records take about 6 GB; a store that this command has filled is used again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import insert, text

from chameleon_tuner.ports.records import RunInfo, Workload, canonical_json
from chameleon_tuner.records import RecordStore, rows
from chameleon_tuner.records.portable import PortableRecord, read_portable
from chameleon_tuner.records.schema import RECORD, WORKLOAD
from chameleon_tuner.records.sharing import begin_with
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.testing.landscapes import conv2d_space
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, make_outcome

EACH, SAMPLES, ROUNDS, FAMILIES, STEP = 250, 3, 9, 50, 500_000
SPACE = canonical_json(to_plain(conv2d_space()))


def kernel(number: int) -> Workload:
    family = f"family {number % FAMILIES}"
    facts = {"flops": 1e6 * (1 + number % 997), "arguments": ["1x56x56x64 float32"]}
    return Workload(f"{number * 2654435761 % 2**64:016x}", "conv2d", "{}", SPACE, family, facts)


def fill(store: RecordStore, count: int) -> None:
    """Add records and their samples by statements that the database itself computes."""
    begun = time.perf_counter()
    run_id = store.begin(RUN)
    with store.writing() as connection:
        environment_id = rows.put_environment(connection, ENVIRONMENT)
        kernels = [_kernel_row(kernel(number)) for number in range(count // EACH)]
        connection.execute(insert(WORKLOAD), kernels)
        first = rows.put_workload(connection, kernel(0))
    about = {"run": run_id, "environment": environment_id, "first": first, "each": EACH}
    for start in range(0, count, STEP):
        span = {"start": start + 1, "end": min(start + STEP, count)}
        with store.writing() as connection:
            connection.execute(text(RECORDS), {**about, **span})
            for position in range(SAMPLES):
                connection.execute(text(TIMED), {"position": position, **span})
        print(f"  {span['end']:,} records, {time.perf_counter() - begun:.0f} s", flush=True)


def _kernel_row(one: Workload) -> dict[str, Any]:
    fields = ("hash", "name", "module", "space", "family")
    return {**{name: getattr(one, name) for name in fields}, "facts": dict(one.facts)}


NUMBERS = """
WITH RECURSIVE number(i) AS (
  SELECT CAST(:start AS BIGINT) UNION ALL SELECT i + 1 FROM number WHERE i < :end
) """

RECORDS = f"""
INSERT INTO record (id, run_id, workload_id, environment_id, purpose, configuration, proposed,
  structural_hash, status, message, build_secs, run_secs, created_at) {NUMBERS}
SELECT i, :run, :first + (i - 1) / :each, :environment, 'search',
  '{{"indices":[' || CAST(i % 97 AS TEXT) || ',3,1,2,3,4,5],"sketch"\\:0}}',
  '{{"indices":[' || CAST(i % 97 AS TEXT) || ',3,1,2,3,4,5],"sketch"\\:0}}',
  'module-' || CAST(i * 2654435761 % 4294967296 AS TEXT), 'ok', '""', 0.2, 0.01,
  CURRENT_TIMESTAMP FROM number"""  # noqa: S608 - constants

TIMED = f"""
INSERT INTO sample (record_id, purpose, position, seconds) {NUMBERS}
SELECT i, 'search', :position, 0.001 + i % 1000 * 0.000001 FROM number"""  # noqa: S608 - constants


def check(right: bool) -> None:
    if not right:
        sys.exit("the store does not hold what this command fills it with; name an empty one")


def timed(place: str, act: Callable[[RecordStore, int], object], *, opened: bool = True) -> str:
    """Return the median and the largest milliseconds of an act with a newly opened store."""
    each = []
    for turn in range(ROUNDS):
        begun = time.perf_counter()
        with RecordStore.open(place) as store:
            if opened:
                begun = time.perf_counter()
            act(store, turn)
            each.append(time.perf_counter() - begun)
    return f"{statistics.median(each) * 1e3:8.1f} ms (at most {max(each) * 1e3:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place")
    parser.add_argument("--records", type=int, default=10_000_000)
    chosen = parser.parse_args()
    with RecordStore.open(chosen.place) as store:
        if not store.run_id(RUN):
            fill(store, chosen.records)
    kernels = chosen.records // EACH
    with RecordStore.open("sqlite://") as small:
        fresh = [[make_outcome(64 * turn + n) for n in range(64)] for turn in range(ROUNDS)]
        for turn, batch in enumerate(fresh):
            info = RunInfo("bench", str(time.time()), turn, {})
            small.append(small.begin(info), kernel(kernels * 7 + turn), ENVIRONMENT, batch)
        with small.reading() as connection:
            everything = [one for _, one in read_portable(connection, RECORD.c.id > 0)]
    batches: list[list[PortableRecord]] = [everything[64 * n : 64 * n + 64] for n in range(ROUNDS)]

    def history(store: RecordStore, turn: int) -> None:
        found = len(store.lookup(kernel((turn * 7919) % kernels), ENVIRONMENT))
        check(found == EACH)

    def begin(store: RecordStore, turn: int) -> None:
        mine = [kernel((turn * 104729 + n * 31) % kernels) for n in range(20)]
        mine += [kernel(kernels * 3 + n) for n in range(5)]  # five that nobody has measured
        with RecordStore.open("sqlite://") as own:
            past = begin_with(own, RunInfo("m", "r", turn, {}), store, mine, ENVIRONMENT)
        check(sum(len(one.outcomes) for one in past) >= 20 * EACH)

    print(f"{chosen.place.split('@')[-1]}: {chosen.records:,} records")
    print("opening              ", timed(chosen.place, lambda store, turn: None, opened=False))
    print("a kernel's history   ", timed(chosen.place, history))
    print("adding a batch of 64 ", timed(chosen.place, lambda s, turn: s.add(batches[turn])))
    print("beginning a run of 25", timed(chosen.place, begin))


if __name__ == "__main__":
    main()
