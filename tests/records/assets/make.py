"""Write the asset of the present schema: `python tests/records/assets/make.py`, once a version.

An asset of a released version never changes again; this refuses to overwrite one.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import REPEAT, Environment, RunInfo, StoredTiming, Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.migrations import VERSION

RUNS = [
    RunInfo("sha256:5eed", "chameleon", 0, {"trials": 100, "plateau": 0.02}),
    RunInfo("sha256:5eed", "random", 2**62, {}),
]
SPACE = '[[{"kind":"choice","values":[0,16]}]]'
WORKLOADS = [
    Workload("a1", "conv2d", '{"nodes": [1]}', SPACE, "5ace", {"flops": 1.5, "arguments": ["1 Ω"]}),
    Workload("b2", "dense Ω", "{}"),
]
ENVIRONMENTS = [
    Environment('{"kind": "llvm"}', "a cpu", 2, {"tvm": "0.27.0", "llvm": "18.1"}),
    Environment('{"kind": "cuda"}', "a gpu", 1, {"tvm": "0.27.0"}),
]
TIMINGS = [
    StoredTiming("a1", "untuned", "final", (2.5, 2.25)),
    StoredTiming(None, "onnxruntime", "final", (0.1, 1 / 3)),
    StoredTiming("a1", "untuned", "final", (2.0,)),
]
PURPOSES = ("search", "untuned", "final", REPEAT)


def outcomes(offset: int) -> list[Outcome]:
    """One outcome of every status, and one more that led to the first one's module."""
    first = Configuration(0, (offset, 3))
    made = [
        Outcome(
            configuration=Configuration(0, (offset, number)),
            proposed=Configuration(0, (offset, number + 10)),
            structural_hash="" if status is Status.REJECTED else f"{offset}{number:03x}",
            status=status,
            samples=(0.1 * (number + 1), 1 / 3) if status is Status.OK else (),
            message="" if status is Status.OK else f"{status.value}: 'cause'\n\x00 of Ω \udcff",
            build_secs=1e-3 * number,
            run_secs=float("inf") if status is Status.TIMEOUT else 5e-324,
        )
        for number, status in enumerate(Status)
    ]
    repeated = Outcome(Configuration(1, ()), first, made[0].structural_hash, Status.OK, (7.5,))
    return [*made, repeated]


def make(folder: Path) -> Path:
    """Write `v{VERSION}.db`; where it is."""
    path = folder / f"v{VERSION}.db"
    with RecordStore.open(path) as store:
        for offset, run in enumerate(RUNS):
            place = WORKLOADS[offset], ENVIRONMENTS[offset]
            store.append(store.begin(run), *place, outcomes(offset))
        place = WORKLOADS[0], ENVIRONMENTS[0]
        untuned = Outcome(Configuration(-1, ()), Configuration(-1, ()), "u", Status.OK, (2.0,))
        store.append(store.begin(RUNS[0]), *place, [untuned], purpose="untuned")
        store.add_samples(*place, "u", "final", [2.5, 2.25])
        store.add_samples(*place, "0000", "final", [0.125, 0.1])
        run = store.begin(RUNS[0])
        for timing in TIMINGS:
            store.add_timing(run, ENVIRONMENTS[0], timing)
    return path


def dump(store: RecordStore) -> dict[str, Any]:
    """Everything a store holds, as JSON values."""
    places = [(w, e) for w in store.workloads() for e in store.environments()]
    return {
        "runs": [
            {**asdict(run.info), "id": run.id, "created_at": run.created_at.isoformat()}
            for run in store.runs()
        ],
        "counts": [_listed(store.count(run.id)) for run in store.runs()],
        "workloads": [asdict(workload) for workload in store.workloads()],
        "environments": [
            {**asdict(environment), "fingerprint": environment.fingerprint}
            for environment in store.environments()
        ],
        "timings": [[asdict(timing) for timing in store.timings(run.id)] for run in store.runs()],
        "places": [_dump_place(store, *place) for place in places],
    }


def _dump_place(store: RecordStore, workload: Workload, environment: Environment) -> dict[str, Any]:
    memory = store.lookup(workload, environment)
    proposed = [Configuration(0, (w, i)) for w in range(2) for i in range(20)]
    recalled = {str(one): memory.recall(one) for one in proposed}
    return {
        "outcomes": {
            purpose: [_plain(o) for o in store.outcomes(workload, environment, purpose)]
            for purpose in PURPOSES
        },
        "samples": {
            purpose: _listed(store.samples(workload, environment, purpose)) for purpose in PURPOSES
        },
        "recalled": {one: outcome.identity for one, outcome in recalled.items() if outcome},
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(outcome)))
    return plain


def _listed(mapping: Any) -> dict[str, Any]:
    return {
        str(getattr(key, "value", key)): list(value) if isinstance(value, tuple) else value
        for key, value in mapping.items()
    }


def main() -> None:
    """Write the database and what has to be read from it."""
    folder = Path(__file__).parent
    if (folder / f"v{VERSION}.db").exists():
        sys.exit(f"v{VERSION}.db is there already; raise migrations.VERSION first")
    path = make(folder)
    path.with_suffix(".db.lock").unlink()
    _shrink(path)
    with RecordStore.open(path) as store:
        expected = json.dumps(dump(store), indent=1, sort_keys=True)
    _shrink(path)
    path.with_suffix(".json").write_text(expected + "\n")


def _shrink(path: Path) -> None:
    """Small pages, since the file is part of the repository."""
    connection = sqlite3.connect(path)
    for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 512", "VACUUM"):
        connection.execute(statement)
    connection.close()


if __name__ == "__main__":
    main()
