"""Records as lines of JSON, compressed: the format in which they are passed on.

The first line is `{"records": 1}`, with the version of the format. Every further line is an object
with one key. `workload`, `environment` and `run` describe what records are about and are numbered
from 0 in the order of their lines; `record` is a measurement, which names the three by their
numbers and has everything that the store has of it: when it was measured and for what
(`created_at`, `purpose`), the configuration that ran and the `proposed` one, the structural `hash`,
`status`, `message`, `build_secs`, `run_secs`, the seconds of all `samples` by purpose, and the
`aliases`, other configurations that led to the same module. The last line is `{"end": n}`, with the
number of records. Infinite seconds are the text `"inf"`.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.core.outcome import Outcome, Status, structural_hash_of
from chameleon_tuner.ports.records import (
    Environment,
    Record,
    RunInfo,
    StoredRun,
    Workload,
    canonical_json,
)
from chameleon_tuner.records.portable import PortableRecord

VERSION = 1
"""The version of the format, the value of `records` in the first line."""


def write_lines(stream: IO[bytes], records: Iterable[PortableRecord]) -> int:
    """Write records to a stream, compressed; return their number. Equal records, equal bytes."""
    count = 0
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as packed:
        for line in _lines(records):
            count += "record" in line
            packed.write(f"{canonical_json(line)}\n".encode())
    return count


def read_lines(path: Path) -> Iterator[PortableRecord]:
    """Yield the records of a file of `write_lines`, compressed or not.

    Raises:
        RecordsError: The file is missing, damaged, cut off, of a newer version or something else;
            records before the damage have been yielded then.
    """
    try:
        with path.open("rb") as start:
            packed = start.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield from _parsed(path, stream)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise RecordsError(f"{path}: {error.strerror}; name a file of records") from error
        raise RecordsError(f"{path} is damaged ({error}); nothing of it was added") from error


def _lines(records: Iterable[PortableRecord]) -> Iterator[dict[str, Any]]:
    yield {"records": VERSION}
    numbers: dict[tuple[str, str], int] = {}
    counts = {"workload": 0, "environment": 0, "run": 0}
    total = 0
    for one in records:
        about = {
            "workload": (one.workload.hash, _plain_workload(one.workload)),
            "environment": (one.environment.fingerprint, _plain_environment(one.environment)),
            "run": (one.run.info.fingerprint, _plain_run(one.run)),
        }
        for kind, (key, plain) in about.items():
            if (kind, key) not in numbers:
                numbers[kind, key] = counts[kind]
                counts[kind] += 1
                yield {kind: plain}
        named = {kind: numbers[kind, key] for kind, (key, _) in about.items()}
        yield {"record": {**named, **_plain_record(one)}}
        total += 1
    yield {"end": total}


def _plain_workload(one: Workload) -> dict[str, Any]:
    return {
        "hash": one.hash,
        "name": one.name,
        "module": one.module,
        "space": one.space,
        "family": one.family,
        "facts": dict(one.facts),
    }


def _plain_environment(one: Environment) -> dict[str, Any]:
    return {
        "target": one.target,
        "device": one.device,
        "threads": one.threads,
        "versions": dict(one.versions),
    }


def _plain_run(one: StoredRun) -> dict[str, Any]:
    return {
        "model": one.info.model,
        "recipe": one.info.recipe,
        "seed": one.info.seed,
        "settings": dict(one.info.settings),
        "created_at": one.created_at.isoformat(),
    }


def _plain_record(one: PortableRecord) -> dict[str, Any]:
    outcome = one.record.outcome
    samples = {one.record.purpose: outcome.samples, **one.samples}
    return {
        "created_at": one.record.created_at.isoformat(),
        "purpose": one.record.purpose,
        "configuration": outcome.configuration.to_json(),
        "proposed": outcome.proposed.to_json(),
        "hash": outcome.identity,
        "status": outcome.status.value,
        "message": outcome.message,
        "build_secs": _number(outcome.build_secs),
        "run_secs": _number(outcome.run_secs),
        "samples": {purpose: [_number(s) for s in secs] for purpose, secs in samples.items()},
        "aliases": [[a.configuration.to_json(), a.proposed.to_json()] for a in one.aliases],
    }


def _number(secs: float) -> float | str:
    return secs if math.isfinite(secs) else str(secs)


def _parsed(path: Path, stream: Iterable[bytes]) -> Iterator[PortableRecord]:
    """Yield the records of lines that are checked one by one."""
    known: dict[str, list[Any]] = {"workload": [], "environment": [], "run": []}
    readers = {"workload": _workload, "environment": _environment, "run": _run}
    count, begun, ended = 0, False, False
    for number, line in enumerate(stream, start=1):
        try:
            [(kind, plain)] = _object(line).items()
            if not begun:
                _check_version(path, kind, plain)
                begun = True
            elif ended:
                raise ValueError("a line after the end")
            elif kind in readers:
                known[kind].append(readers[kind](plain))
            elif kind == "record":
                count += 1
                yield _record(plain, known)
            elif kind == "end" and plain == count:
                ended = True
            else:
                raise ValueError(f"{kind} {plain!r:.40}")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            what = "is no file of records" if not begun else f"is damaged in line {number}"
            raise RecordsError(f"{path} {what} ({error!s:.80}); nothing of it was added") from error
    if not ended:
        raise RecordsError(f"{path} is cut off; nothing of it was added")


def _object(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict) or len(found) != 1:
        raise ValueError("not an object with one key")
    return found


def _check_version(path: Path, kind: str, version: Any) -> None:
    if kind != "records" or not isinstance(version, int):
        raise ValueError(f"it begins with {kind!r}")
    if version > VERSION:
        raise RecordsError(
            f"{path} was written by a newer version (format {version}, this one knows {VERSION}); "
            "upgrade chameleon-tuner"
        )


def _texts(*values: Any) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a text is missing")
    return values


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object is missing")
    return value


def _workload(plain: Any) -> Workload:
    key, name, module, space, family = _texts(
        *(plain[field] for field in ("hash", "name", "module", "space", "family"))
    )
    return Workload(key, name, module, space, family, _mapping(plain["facts"]))


def _environment(plain: Any) -> Environment:
    target, device = _texts(plain["target"], plain["device"])
    versions = {str(name): str(version) for name, version in _mapping(plain["versions"]).items()}
    return Environment(target, device, int(plain["threads"]), versions)


def _run(plain: Any) -> StoredRun:
    model, recipe = _texts(plain["model"], plain["recipe"])
    seed = int(plain["seed"])
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed {seed}")
    info = RunInfo(model, recipe, seed, _mapping(plain["settings"]))
    return StoredRun(0, info, _time(plain["created_at"]))


def _time(text: Any) -> datetime:
    when = datetime.fromisoformat(*_texts(text))
    if when.tzinfo is None:
        raise ValueError(f"a time without a zone, {text}")
    return when


def _record(plain: Any, known: Mapping[str, list[Any]]) -> PortableRecord:
    workload, environment, run = (
        known[kind][_index(plain[kind])] for kind in ("workload", "environment", "run")
    )
    purpose, identity, status, message = _texts(
        plain["purpose"], plain["hash"], plain["status"], plain["message"]
    )
    samples = {
        str(name): tuple(_seconds(secs) for secs in each)
        for name, each in _mapping(plain["samples"]).items()
    }
    outcome = Outcome(
        configuration=Configuration.from_json(plain["configuration"]),
        proposed=Configuration.from_json(plain["proposed"]),
        structural_hash=structural_hash_of(identity),
        status=Status(status),
        samples=samples.pop(purpose, ()),
        message=message,
        build_secs=_seconds(plain["build_secs"]),
        run_secs=_seconds(plain["run_secs"]),
    )
    if outcome.identity != identity:
        raise ValueError("the hash is not that of the configuration")
    aliases = tuple(
        replace(
            outcome,
            configuration=Configuration.from_json(ran),
            proposed=Configuration.from_json(proposed),
        )
        for ran, proposed in plain["aliases"]
    )
    record = Record(0, purpose, _time(plain["created_at"]), outcome)
    return PortableRecord(workload, environment, run, record, aliases, samples)


def _index(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of a line")
    return value


def _seconds(value: Any) -> float:
    secs = float(value)
    if math.isnan(secs) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no time")
    return secs
