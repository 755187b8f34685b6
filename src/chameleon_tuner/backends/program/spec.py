"""The specification of a program: what is run, with which parameters, timed and checked how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.program.template import CommandTemplate, Template, Value

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds of the units that a time may be in."""

RATE = "1/s"
"""Unit of a rate, of which more is better: its reciprocal is what is made small."""

STDOUT, STDERR, NONE = "stdout", "stderr", "none"
"""What `of` and `output` may name beside a file."""

COMPILE_SECS, LEAST_RUN_SECS, RUN_TIMES = 120.0, 10.0, 10.0
"""Default limits: of compiling in seconds, and of a run, which is the larger of some seconds and a
multiple of what the default configuration takes."""


@dataclass(frozen=True)
class TimeReading:
    """How the time of a run is read.

    Attributes:
        pattern: Regular expression whose first group is the time; the median of all matches counts.
        json: Path of a field in a JSON text, such as `results.0.seconds`.
        of: Where the text is: `stdout`, `stderr` or a file. The wall clock of the run command is
            used where there is neither a pattern nor a field.
        unit: One of `UNITS`, or `RATE`.
    """

    pattern: str = ""
    json: str = ""
    of: Template = field(default_factory=partial(Template, STDOUT))
    unit: str = "s"

    @property
    def by_clock(self) -> bool:
        """Whether the wall clock of the run command is the time."""
        return not (self.pattern or self.json)


@dataclass(frozen=True)
class OutputCheck:
    """How the output of a run is compared with the reference.

    Attributes:
        output: What is compared: `stdout`, `stderr`, a file, or `none`.
        command: Command after the run, not timed, whose output is compared in its place.
        reference: File with the right output; without it the default configuration's is right.
        tolerance: Largest relative difference of numbers; None where outputs have to be the same.
        absolute: Largest absolute difference of numbers in a text that is always accepted.
        dtype: Type of the numbers of a binary file; empty for text.
        ignore: Regular expressions; what they match does not count.
    """

    output: Template = field(default_factory=partial(Template, STDOUT))
    command: CommandTemplate | None = None
    reference: str = ""
    tolerance: float | None = None
    absolute: float = 0.0
    dtype: str = ""
    ignore: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether outputs are compared at all."""
        return self.command is not None or self.output.text != NONE


@dataclass(frozen=True)
class ProgramLimits:
    """What a candidate may use.

    Attributes:
        compile_secs: Seconds of the compile command.
        run_secs: Seconds of one run; None for a multiple of the default configuration's.
        memory: Size of the data of each process, such as `2G`; empty for an equal share.
    """

    compile_secs: float = COMPILE_SECS
    run_secs: float | None = None
    memory: str = ""


@dataclass(frozen=True)
class Spec:
    """A program with parameters; see docs/program.md for the meaning of each part.

    Attributes:
        plain: The specification as it was written, values of JSON only.
        folder: Folder of the specification, in which commands run.
        name: Name for people.
        compile: The compile command; None where nothing is compiled.
        run: The run command.
        parameters: The values of every parameter, by name.
        default: The value of every parameter in the default configuration.
        constraints: Relations between parameters that every configuration keeps.
        time: How the time is read.
        check: How the output is checked.
        limits: What a candidate may use.
        environment: Environment variables of the commands.
        stdin: File that the run command reads from; empty for none.
        inputs: Patterns of further files whose content matters.
    """

    plain: Mapping[str, Any] = field(repr=False)
    folder: Path
    name: str
    compile: CommandTemplate | None
    run: CommandTemplate
    parameters: Mapping[str, Sequence[Value]]
    default: Mapping[str, Value]
    constraints: Sequence[str]
    time: TimeReading
    check: OutputCheck
    limits: ProgramLimits
    environment: Mapping[str, Template]
    stdin: str = ""
    inputs: Sequence[str] = ()

    @property
    def commands(self) -> dict[str, CommandTemplate]:
        """The commands by their names in the specification."""
        named = {"compile": self.compile, "run": self.run, "check.command": self.check.command}
        return {name: command for name, command in named.items() if command is not None}
