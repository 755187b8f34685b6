"""Recordings: measurements of tasks in one small file, to search again without the hardware.

The file is JSON Lines, compressed where its name ends in .gz. An object opens a task; every list
behind it, `[sketch, indices, status, seconds, build_secs, run_secs]`, is one configuration of it,
with null for the seconds of a failure.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chameleon_tuner.compare.runlog import RunLog, Trial
from chameleon_tuner.errors import UsageError
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.space import Configuration, DesignSpace
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.task import Task
from chameleon_tuner.writing import write_whole

VERSION = 1
"""Of the format; the value of `recording` in the line that opens a task."""


@dataclass(frozen=True)
class Recording:
    """What was measured of one task, and where.

    Attributes:
        task: with an empty module.
        outcomes: in the order of their configurations, each of them once.
        machine: its name, for people and for telling recordings apart.
        threads: that building and running had.
        versions: of what made the kernels, by name.
    """

    task: Task
    outcomes: tuple[Outcome, ...] = field(repr=False)
    machine: str
    threads: int
    versions: Mapping[str, str]


def history_of(recording: Recording) -> History:
    """A search that has measured all of it."""
    history = History(recording.task.space)
    history.extend(list(recording.outcomes))
    return history


def recording_of(
    task: Task,
    logs: Iterable[RunLog],
    *,
    machine: str,
    threads: int,
    versions: Mapping[str, str],
) -> Recording:
    """All that the runs of a task measured; the logs of other tasks are left out.

    A trial counts where its configuration and what it cost are known. Of several with the same
    configuration the first that is `ok` counts, or the first. Figures keep 6 digits: the noise of
    a timing is in the third.

    Raises:
        UsageError: a log has a configuration that the task does not.
    """
    trials = [trial for log in logs if log.task == task.name for trial in log.trials]
    outcomes = [o for trial in trials if (o := _outcome_of(trial)) is not None]
    for outcome in outcomes:
        if not task.space.contains(outcome.configuration):
            raise UsageError(
                f"a run of {task.name} measured {outcome.configuration}, which is not of its "
                "design space: the log is of another version; delete it and run it again"
            )
    plain = replace(task, module="")
    return Recording(plain, _distinct(outcomes), machine, threads, dict(versions))


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings: the same bytes for the same ones, and all of the file or nothing."""
    lines = [line for recording in recordings for line in _lines_of(recording)]
    data = "".join(f"{json.dumps(x, separators=(',', ':'))}\n" for x in lines).encode()
    write_whole(path, _compressed(data) if path.suffix == ".gz" else data)


def read_recordings(paths: Iterable[Path]) -> list[Recording]:
    """Inverse of `write_recordings`; tasks in the order in which they first come.

    A task that comes more than once gets the outcomes of all, as in `recording_of`.

    Raises:
        UsageError: a file is missing, empty, damaged or something else, or what has the name of
            one task are several, or was recorded on several machines.
    """
    merged: dict[str, Recording] = {}
    for path in paths:
        for recording in _read(path):
            name = recording.task.name
            known = merged.get(name)
            merged[name] = _merged(known, recording, path) if known else recording
    return list(merged.values())


def _outcome_of(trial: Trial) -> Outcome | None:
    """The trial's outcome; None where the trial does not tell enough."""
    costs = trial.build_secs, trial.run_secs
    sound = _is_sound(trial.status, trial.own_secs) and all(map(math.isfinite, costs))
    if trial.configuration is None or not sound:
        return None
    figures = (float(f"{secs:.6g}") for secs in (trial.own_secs, *costs))
    return replayed(trial.configuration, trial.status, *figures)


def _is_sound(status: Status, seconds: float) -> bool:
    """Whether what ran, and only that, has a time."""
    ran = status in (Status.OK, Status.CENSORED)
    return 0 < seconds < math.inf if ran else seconds == math.inf


def _distinct(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    kept: dict[Configuration, Outcome] = {}
    for outcome in outcomes:
        before = kept.setdefault(outcome.configuration, outcome)
        if outcome.status is Status.OK and before.status is not Status.OK:
            kept[outcome.configuration] = outcome
    return tuple(kept[configuration] for configuration in sorted(kept))


def _merged(first: Recording, second: Recording, path: Path) -> Recording:
    one, other = first.task, second.task
    same = (one.key, one.space, one.target) == (other.key, other.space, other.target)
    if not same or (first.machine, first.threads) != (second.machine, second.threads):
        raise UsageError(
            f"{path}: {one.name} is another kernel, or of another machine, than the {one.name} "
            "before it: read them apart"
        )
    return replace(first, outcomes=_distinct((*first.outcomes, *second.outcomes)))


# -- writing


def _lines_of(recording: Recording) -> list[Any]:
    task = recording.task
    header = {
        "recording": VERSION,
        "name": task.name,
        "key": task.key,
        "weight": task.weight,
        "flops": task.flops,
        "arguments": list(task.arguments),
        "target": dict(sorted(task.target.items())),
        "vector_bits": task.vector_bits,
        "machine": recording.machine,
        "threads": recording.threads,
        "versions": dict(sorted(recording.versions.items())),
        "space": to_plain(task.space),
    }
    return [header, *(_row_of(outcome) for outcome in recording.outcomes)]


def _row_of(outcome: Outcome) -> list[Any]:
    at, seconds = outcome.configuration, outcome.seconds
    shown = seconds if math.isfinite(seconds) else None
    costs = outcome.build_secs, outcome.run_secs
    return [at.sketch, list(at.indices), outcome.status.value, shown, *costs]


def _compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as packed:  # neither name nor time
        packed.write(data)
    return buffer.getvalue()


# -- reading


def _read(path: Path) -> list[Recording]:
    found: list[tuple[Recording, list[Outcome]]] = []
    for number, line in enumerate(_lines_in(path), start=1):
        try:
            data = json.loads(line)
            if isinstance(data, dict) or not found:
                found.append((_opened(data), []))
            else:
                found[-1][1].append(_recorded(data, found[-1][0].task.space))
        except (UsageError, ValueError, OverflowError) as error:
            raise UsageError(
                f"{path}, line {number}: {error}; restore the file, or record the task again"
            ) from None
    return [replace(recording, outcomes=_distinct(outcomes)) for recording, outcomes in found]


def _lines_in(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no recording ({error}); name one, or record it again"
        ) from None
    if not text:
        raise UsageError(f"{path} is empty; name a recording, or record it again")
    return text.splitlines()


def _opened(data: Any) -> Recording:
    match data:
        case {"recording": int(version)} if version > VERSION:
            raise UsageError("a newer version of Chameleon wrote this; read it with that one")
        case {
            "recording": 1,
            "name": str(name),
            "key": str(key),
            "weight": int(weight),
            "flops": int() | float() as flops,
            "arguments": list(arguments),
            "target": dict(target),
            "machine": str(machine),
            "threads": int(threads),
            "versions": dict(versions),
            "space": space,
        } if threads > 0:
            texts = tuple(map(str, arguments))
            task = Task(name, key, "", target, from_plain(space), weight, flops, texts)
            bits = int(data.get("vector_bits", task.vector_bits))
            return Recording(replace(task, vector_bits=bits), (), machine, threads, versions)
    raise UsageError("this does not open the recording of a task")


def _recorded(data: Any, space: DesignSpace) -> Outcome:
    match data:
        case [
            int(sketch),
            [*indices],
            str(status),
            None | int() | float() as seconds,
            int() | float() as build_secs,
            int() | float() as run_secs,
        ] if all(isinstance(index, int) for index in indices):
            configuration, ended = Configuration(sketch, tuple(indices)), Status(status)
            secs = math.inf if seconds is None else float(seconds)
            costs = float(build_secs), float(run_secs)
            if not space.contains(configuration):
                raise UsageError(f"{configuration} is not of the task's design space")
            if _is_sound(ended, secs) and all(0 <= cost < math.inf for cost in costs):
                return replayed(configuration, ended, secs, *costs)
    raise UsageError("this is not the record of a configuration")
