"""From the plain data of a TOML file to a specification."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chameleon_tuner.backends.program.spec import (
    COMPILE_SECS,
    NONE,
    RATE,
    STDERR,
    STDOUT,
    UNITS,
    OutputCheck,
    ProgramLimits,
    Spec,
    TimeReading,
)
from chameleon_tuner.backends.program.template import (
    BUILD,
    RESERVED,
    CommandTemplate,
    Template,
    Value,
)
from chameleon_tuner.core.errors import ProgramError, UsageError, hint
from chameleon_tuner.search.schedule import parse_duration

_SECTIONS = {
    "": ("name", "compile", "run", "stdin", "inputs", "constraints"),
    "time": ("pattern", "json", "of", "unit"),
    "check": ("output", "command", "reference", "tolerance", "absolute", "dtype", "ignore"),
    "limits": ("compile", "run", "memory"),
}
"""The keys of every section; `parameters`, `default` and `environment` have the user's own."""

_TABLES = ("parameters", "default", "time", "check", "limits", "environment")


def parse(data: Mapping[str, Any], folder: Path, name: str = "program") -> Spec:
    """Return the specification in plain data.

    Args:
        data: What the TOML file holds.
        folder: Folder that its paths are relative to.
        name: Name of the program, where the data has none.

    Returns:
        The specification, all of whose placeholders have a meaning.

    Raises:
        ProgramError: Something in it is wrong.
    """
    _check_keys("", data, (*_SECTIONS[""], *_TABLES))
    if "run" not in data:
        raise ProgramError('there is no run command; write run = "{build}/program {block}"')
    if not data.get("parameters"):
        raise ProgramError("there are no parameters; write [parameters] and block = [16, 32]")
    parameters = {
        key: _values_of(key, values) for key, values in _table(data, "parameters").items()
    }
    spec = Spec(
        plain=dict(data),
        folder=folder,
        name=_text(data, "name", name),
        compile=_command(data, "compile"),
        run=CommandTemplate.of(_text(data, "run"), "run"),
        parameters=parameters,
        default=_default_of(parameters, _table(data, "default")),
        constraints=_texts(data, "constraints"),
        time=_time_of(_section(data, "time")),
        check=_check_of(_section(data, "check")),
        limits=_limits_of(_section(data, "limits")),
        environment=_environment_of(_table(data, "environment")),
        stdin=_text(data, "stdin"),
        inputs=_texts(data, "inputs"),
    )
    _check_templates(spec)
    return spec


# -- the parts


def _values_of(name: str, values: Any) -> tuple[Value, ...]:
    where = f"parameters.{name}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ProgramError(f"{where}: use letters, digits and underscores for a name")
    if name in RESERVED:
        raise ProgramError(f"{where}: this name has a meaning of its own; choose another")
    if not isinstance(values, list) or not values:
        raise ProgramError(f"{where}: write a list of values, such as {name} = [16, 32]")
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1 or not kinds <= {"number", "text", "truth"}:
        raise ProgramError(f"{where}: values are all numbers, all texts, or true and false")
    if len(set(values)) < len(values):
        raise ProgramError(f"{where}: a value stands there twice")
    for value in values:
        if isinstance(value, str):
            CommandTemplate.of(f"x {value}", where)
        elif value != value or abs(value) == float("inf"):
            raise ProgramError(f"{where}: {value} is not a finite number")
    return tuple(values)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return {int: "number", float: "number", str: "text"}.get(type(value), "other")


def _default_of(
    parameters: Mapping[str, Sequence[Value]], given: Mapping[str, Any]
) -> dict[str, Value]:
    for name, value in given.items():
        if name not in parameters:
            raise ProgramError(
                f"default.{name}: there is no such parameter; {hint(name, parameters)}"
                f"known: {', '.join(parameters)}"
            )
        if value not in parameters[name]:
            raise ProgramError(f"default.{name}: {value!r} is not among its values")
    return {name: given.get(name, values[0]) for name, values in parameters.items()}


def _time_of(data: Mapping[str, Any]) -> TimeReading:
    reading = TimeReading(
        pattern=_text(data, "pattern", of="time"),
        json=_text(data, "json", of="time"),
        of=Template(_text(data, "of", STDOUT, of="time")),
        unit=_text(data, "unit", "s", of="time"),
    )
    if reading.pattern and reading.json:
        raise ProgramError("time: give a pattern or a field of JSON, not both")
    if reading.by_clock and data:
        raise ProgramError("time: give a pattern or a field of JSON; without them leave it out")
    if reading.unit not in (*UNITS, RATE):
        known = ", ".join((*UNITS, RATE))
        raise ProgramError(f"time.unit: {reading.unit!r} is not a unit; known: {known}")
    if reading.pattern and _compiled("time.pattern", reading.pattern).groups != 1:
        raise ProgramError(r"time.pattern: it needs one group (...), such as 'time: ([\d.]+) ms'")
    return reading


def _check_of(data: Mapping[str, Any]) -> OutputCheck:
    check = OutputCheck(
        output=Template(_text(data, "output", STDOUT, of="check")),
        command=_command(data, "command", "check"),
        reference=_text(data, "reference", of="check"),
        tolerance=_number(data, "tolerance", None),
        absolute=_number(data, "absolute", 0.0) or 0.0,
        dtype=_text(data, "dtype", of="check"),
        ignore=_texts(data, "ignore", "check"),
    )
    for pattern in check.ignore:
        _compiled("check.ignore", pattern)
    if check.dtype:
        try:
            kind = np.dtype(check.dtype).kind
        except TypeError:
            kind = "O"
        if kind not in "biufc":
            raise ProgramError(f"check.dtype: {check.dtype!r} is no type of numbers; write float32")
    if check.command is not None and "output" in data:
        raise ProgramError("check: the command's output is compared; leave out `output`")
    return check


def _environment_of(data: Mapping[str, Any]) -> dict[str, Template]:
    for name, value in data.items():
        if _kind(value) not in ("number", "text"):
            raise ProgramError(f"environment.{name}: write a text in quotation marks, or a number")
    return {name: Template(str(value)) for name, value in data.items()}


def _limits_of(data: Mapping[str, Any]) -> ProgramLimits:
    run = _text(data, "run", of="limits")
    return ProgramLimits(
        compile_secs=_duration("limits.compile", _text(data, "compile", of="limits"))
        or COMPILE_SECS,
        run_secs=_duration("limits.run", run),
        memory=_text(data, "memory", of="limits"),
    )


# -- single values


def _check_keys(where: str, data: Mapping[str, Any], known: Collection[str]) -> None:
    for key in data:
        if key not in known:
            name = f"{where}.{key}" if where else key
            raise ProgramError(f"unknown key {name!r}; {hint(key, known)}known: {', '.join(known)}")


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key, {})
    if not isinstance(found, dict):
        raise ProgramError(f"{key}: this is a section; write [{key}] and its keys below")
    return found


def _section(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = _table(data, key)
    _check_keys(key, found, _SECTIONS[key])
    return found


def _text(data: Mapping[str, Any], key: str, default: str = "", of: str = "") -> str:
    value = data.get(key, default)
    if not isinstance(value, str) or (key in data and not value.strip()):
        raise ProgramError(f"{of}{'.' if of else ''}{key}: write a text in quotation marks")
    return value


def _texts(data: Mapping[str, Any], key: str, of: str = "") -> tuple[str, ...]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ProgramError(f"{of}{'.' if of else ''}{key}: write a list of texts")
    return tuple(found)


def _number(data: Mapping[str, Any], key: str, default: float | None) -> float | None:
    value = data.get(key, default)
    if value is not None and (_kind(value) != "number" or not 0 <= value < float("inf")):
        raise ProgramError(f"check.{key}: write a number such as 1e-4, not {value!r}")
    return None if value is None else float(value)


def _command(data: Mapping[str, Any], key: str, of: str = "") -> CommandTemplate | None:
    where = f"{of}.{key}" if of else key
    return CommandTemplate.of(_text(data, key, of=of), where) if key in data else None


def _compiled(where: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ProgramError(f"{where}: {pattern!r} is no regular expression: {error}") from None


def _duration(where: str, text: str) -> float | None:
    try:
        return parse_duration(text) if text else None
    except UsageError as error:
        raise ProgramError(f"{where}: {error}") from None


# -- what fits together


def _check_templates(spec: Spec) -> None:
    """Check that all placeholders have a meaning, and that every parameter has an effect."""
    known = [*spec.parameters, *RESERVED]
    for where, command in spec.commands.items():
        command.check(where, known)
    texts = {"time.of": spec.time.of, "check.output": spec.check.output}
    for where, template in (*texts.items(), *spec.environment.items()):
        template.check(where, known)
    used = set[str]().union(
        *(command.names for command in spec.commands.values()),
        *(template.names for template in spec.environment.values()),
    )
    if "defines" not in used:
        for name in spec.parameters:
            if name not in used:
                raise ProgramError(
                    f"parameters.{name} has no effect: write {{{name}}} into a command, or "
                    "{defines} into the compile command"
                )
    for where, template in texts.items():
        place = template.text
        if place not in (STDOUT, STDERR, NONE) and not place.startswith(f"{{{BUILD}}}/"):
            raise ProgramError(
                f"{where}: {place!r}: write stdout, stderr, or a file in the candidate's own "
                f"folder, such as {{build}}/{Path(place).name}"
            )
    if spec.compile is not None and BUILD not in spec.compile.names:
        raise ProgramError(
            "compile: several candidates are compiled at once, so its output has to be in "
            "{build}, the folder of a candidate's own files: write -o {build}/program"
        )
