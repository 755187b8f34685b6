"""FAIR files as design spaces and recordings."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.bench.fair.documents import Format, read_document
from chameleon_tuner.bench.recording import Recording
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.space import DesignSpace, Table, configuration_at, parameter_space
from chameleon_tuner.space.listing import listed
from chameleon_tuner.space.task import Task

_OBJECTIVE = "time"
"""The objective that is minimised; others, such as GFLOP/s, are not read."""

_UNITS = {
    **dict.fromkeys(("seconds", "second", "s"), 1.0),
    **dict.fromkeys(("milliseconds", "miliseconds", "millisecond", "ms"), 1e-3),
    **dict.fromkeys(("microseconds", "microsecond", "us"), 1e-6),
    **dict.fromkeys(("nanoseconds", "nanosecond", "ns"), 1e-9),
}
"""Seconds of each unit of time; "miliseconds" is how the hub's files spell it."""

_MILLI = 1e-3
"""Seconds of the unit in Kernel Tuner's cache files."""

_T4_STATUS = {
    "correct": Status.OK,
    "compile": Status.BUILD_ERROR,
    "runtime": Status.RUN_ERROR,
    "correctness": Status.RUN_ERROR,
    "timeout": Status.TIMEOUT,
    "constraints": Status.REJECTED,
}

_CACHE_STATUS = {
    "InvalidConfig": Status.REJECTED,
    "CompilationFailedConfig": Status.BUILD_ERROR,
    "RuntimeFailedConfig": Status.RUN_ERROR,
}


@dataclass(frozen=True)
class Measured:
    """One configuration of a file, as it was measured.

    Attributes:
        values: The value of every parameter.
        status: How the measurement ended.
        seconds: The time of the kernel; infinite for failures.
        build_secs: Seconds of compiling.
        run_secs: Seconds of running and checking.
    """

    values: Mapping[str, Any]
    status: Status
    seconds: float
    build_secs: float
    run_secs: float


def read_space(path: Path) -> DesignSpace:
    """Return the design space of a T1 input, a Kernel Tuner cache, or T4 results.

    A T1 input has constraints. The space of measurements has what was measured: the files of the
    hub have every configuration that meets the constraints of their kernel.

    Raises:
        UsageError: The file has none of the formats, or is damaged.
    """
    kind, content = _document(path)
    try:
        if kind is Format.T1:
            return _t1_space(content["ConfigurationSpace"])
        return _space_of(*_measurements(kind, content))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def read_fair(path: Path) -> Recording:
    """Return the measurements of a Kernel Tuner cache or of T4 results as a recording.

    Raises:
        UsageError: The file has neither format, is damaged, or has no time of any configuration.
    """
    kind, content = _document(path)
    if kind is Format.T1:
        raise UsageError(
            f"{path} is a T1 input, which has no measurements; name a Kernel Tuner cache or T4 "
            "results"
        )
    try:
        parameters, measured = _measurements(kind, content)
        space = _space_of(parameters, measured)
        outcomes = tuple(_outcomes(space, measured))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    device = str(content.get("device_name", "")) or "the machine of the file"
    plain = json.dumps([[list(map(repr, v)) for v in parameters.values()], list(parameters)])
    key = hashlib.sha256(f"{_name_of(path)}{plain}".encode()).hexdigest()[:16]
    task = Task(_name_of(path), key, "", {"kind": "recorded"}, space)
    return Recording(task, outcomes, device, 1, {})


def _name_of(path: Path) -> str:
    """Return the name of a file without endings, such as `convolution_A100`."""
    return re.sub(r"[-_](T4|cache|results)$", "", path.name.split(".", 1)[0]) or path.name


def _document(path: Path) -> tuple[Format, dict[str, Any]]:
    found = read_document(path)
    if found is None:
        known = ", ".join(one.value for one in Format)
        raise UsageError(f"{path} has none of the formats {known}; name such a file")
    return found


def _t1_space(data: Mapping[str, Any]) -> DesignSpace:
    parameters: dict[str, list[Any]] = {}
    for given in data["TuningParameters"]:
        match given:
            case {"Name": str(name), "Values": str() | list() as values}:
                parameters[name] = listed(values) if isinstance(values, str) else values
            case _:
                raise UsageError(f"{given!r} is no tuning parameter with a name and values")
    texts = []
    for condition in data.get("Conditions") or []:
        match condition:
            case {"Expression": str(text)}:
                texts.append(text)
            case _:
                raise UsageError(f"{condition!r} is no condition with an expression")
    return parameter_space(parameters, texts)


def _space_of(parameters: Mapping[str, Sequence[Any]], measured: Sequence[Measured]) -> DesignSpace:
    """Return the space of what was measured."""
    names = tuple(parameters)
    rows = tuple(tuple(one.values[name] for name in names) for one in measured)
    if not rows:
        raise UsageError("nothing is measured in it")
    return parameter_space(parameters, [Table(names, rows)])


def _outcomes(space: DesignSpace, measured: Sequence[Measured]) -> Iterator[Outcome]:
    seen = {}
    for one in measured:
        configuration = configuration_at(space, one.values)
        if configuration not in seen:
            seen[configuration] = replayed(
                configuration, one.status, one.seconds, one.build_secs, one.run_secs
            )
    for configuration in sorted(seen):
        yield seen[configuration]


def _measurements(
    kind: Format, content: Mapping[str, Any]
) -> tuple[dict[str, Sequence[Any]], list[Measured]]:
    """Return the values of every parameter, and what was measured."""
    if kind is Format.CACHE:
        return _cached(content)
    unit = _unit(content.get("metadata", {}).get("timeunit", "seconds"))
    measured = [one for data in content["results"] if (one := _result(data, unit)) is not None]
    names = list(measured[0].values) if measured else []
    for one in measured:
        if set(one.values) != set(names):
            raise UsageError(f"{dict(one.values)} has other parameters than those before it")
    return {name: _sorted({one.values[name] for one in measured}) for name in names}, measured


def _sorted(values: set[Any]) -> list[Any]:
    """Return numbers in order, and other values by their text."""
    plain = all(isinstance(value, int | float) for value in values)
    return sorted(values) if plain else sorted(values, key=lambda v: (type(v).__name__, str(v)))


def _unit(name: Any) -> float:
    known = _UNITS.get(str(name).lower())
    if known is None:
        raise UsageError(f"the unit of time {name!r} is unknown")
    return known


def _result(data: Any, unit: float) -> Measured | None:
    """Return a result of a T4 file; None if it breaks a constraint and is not of the space."""
    match data:
        case {"configuration": dict(values), "invalidity": str(invalidity), "times": dict(times)}:
            status = _T4_STATUS.get(invalidity)
            if status is None:
                raise UsageError(f"the invalidity {invalidity!r} is unknown")
            if status is Status.REJECTED:
                return None
            seconds = _objective(data, unit) if status is Status.OK else math.inf
            built = unit * (_number(times.get("compilation")) + _number(times.get("framework")))
            runs = times.get("runtimes") or []
            ran = sum(map(_number, runs if isinstance(runs, list) else [runs]))
            ran = unit * (ran + _number(times.get("validation")))
            return Measured(_hashable(values), status, seconds, built, ran)
    raise UsageError(f"{str(data)[:80]!r} is no result with a configuration, times and invalidity")


def _objective(data: Mapping[str, Any], unit: float) -> float:
    """Return the seconds of a correct result."""
    for one in data.get("measurements") or []:
        match one:
            case {"name": "time", "value": int() | float() as value}:
                own = str(one.get("unit") or "")
                return _sound(float(value) * (_unit(own) if own else unit))
    raise UsageError(
        f"{data['configuration']!r} is correct but has no measurement {_OBJECTIVE!r}; other "
        "objectives are not read"
    )


def _cached(content: Mapping[str, Any]) -> tuple[dict[str, Sequence[Any]], list[Measured]]:
    """Return the parameters and the measurements of a Kernel Tuner cache."""
    if content.get("objective", _OBJECTIVE) != _OBJECTIVE:
        raise UsageError(f"its objective is {content['objective']!r}; only {_OBJECTIVE!r} is read")
    names, measured = [str(name) for name in content["tune_params_keys"]], []
    for text, data in content["cache"].items():
        if not isinstance(data, dict) or not set(names) <= set(data):
            raise UsageError(f"the entry {text[:80]!r} lacks parameters or is no object")
        values = _hashable({name: data[name] for name in names})
        status, seconds = _cached_time(data)
        built = _number(data.get("compile_time")) + _number(data.get("framework_time"))
        ran = _number(data.get("benchmark_time")) + _number(data.get("verification_time"))
        measured.append(Measured(values, status, seconds, built * _MILLI, ran * _MILLI))
    given = content.get("tune_params") or {}
    used = {name: {one.values[name] for one in measured} for name in names}
    return {name: _declared(given.get(name), used[name]) for name in names}, measured


def _declared(given: Any, used: set[Any]) -> list[Any]:
    """Return the values of a parameter in the order of the file, and those that it left out."""
    if not isinstance(given, list) or not all(isinstance(v, str | int | float) for v in given):
        return _sorted(used)
    known = list(dict.fromkeys(given))
    return [*(v for v in known if v in used), *_sorted(used - set(known))]


def _cached_time(data: Mapping[str, Any]) -> tuple[Status, float]:
    match data.get(_OBJECTIVE):
        case str(error):
            return _CACHE_STATUS.get(error, Status.RUN_ERROR), math.inf
        case bool() | None:
            return Status.RUN_ERROR, math.inf
        case int() | float() as value:
            return Status.OK, _sound(value * _MILLI)
    raise UsageError(f"{data.get(_OBJECTIVE)!r} is no time")


def _sound(seconds: float) -> float:
    if not 0 < seconds < math.inf:
        raise UsageError(f"a correct configuration takes {seconds!r} s")
    return seconds


def _number(value: Any) -> float:
    """Return a time, or 0 if it is missing, negative or no number."""
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf else 0.0


def _hashable(values: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if not isinstance(value, str | int | float):
            raise UsageError(f"{name} has the value {value!r}: use numbers, texts or booleans")
    return dict(values)
