"""Candidates of a program: built and run in a folder of their own, timed and checked."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chameleon_tuner.backends.program.spec import STDERR, STDOUT, Spec
from chameleon_tuner.backends.program.template import BUILD, PYTHON, Template, Value, text_of
from chameleon_tuner.backends.program.timing import ReadingError, seconds_in, without_time
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.handler import Failed
from chameleon_tuner.ports.records import fingerprint
from chameleon_tuner.system.commands import Command, Ended, Guard, NotStartedError

_MOST_OUTPUT = 256 * 2**20
"""Bytes of an output that are read; what prints more is better checked by a checksum."""

_MOST_CHARACTERS = 300
"""Characters of an error message that are quoted."""

_TAIL_BYTES = 2**16
"""Bytes at the end of the error messages of a command in which its cause is looked for."""

_NO_MEMORY = ("out of memory", "bad_alloc", "cannot allocate", "memoryerror", "memory exhausted")


@dataclass(frozen=True)
class Filled:
    """The commands of one configuration.

    Attributes:
        compile: Words of the compile command; None where nothing is compiled.
        run: Words of the run command.
        check: Words of the command whose output is compared; None without one.
        environment: Environment variables in addition to those of this process.
        time_of: Where the time is: `stdout`, `stderr` or a path.
        output: What is compared, in the same form.
    """

    compile: Sequence[str] | None
    run: Sequence[str]
    check: Sequence[str] | None
    environment: Mapping[str, str]
    time_of: str
    output: str

    @property
    def identity(self) -> str:
        """Hash of everything that is run; two configurations with the same one are the same."""
        check = list(self.check or ())
        parts = [list(self.compile or ()), list(self.run), check, dict(self.environment)]
        return fingerprint([*parts, self.time_of, self.output])[:32]

    def shown(self) -> dict[str, str]:
        """Return the commands as they are typed into a shell, by name."""
        variables = [f"{name}={shlex.quote(text)}" for name, text in self.environment.items()]
        named = {"compile": self.compile, "run": self.run, "check": self.check}
        return {
            name: " ".join([*variables, shlex.join(words)])
            for name, words in named.items()
            if words is not None
        }


def fill(spec: Spec, values: Mapping[str, Value], folder: str = f"{{{BUILD}}}") -> Filled:
    """Return the commands of a configuration.

    Args:
        spec: The program.
        values: The value of every parameter.
        folder: The candidate's own folder; without it the placeholder stays.

    Returns:
        Its commands.
    """
    defines = {name: text_of(values[name]) for name in spec.parameters}
    texts = {**defines, BUILD: folder, PYTHON: sys.executable}
    joined = " ".join(f"-D{name}={text}" for name, text in defines.items())

    def filled(template: Template) -> str:
        return template.fill({**texts, "defines": joined})

    words = {name: command.fill(texts, defines) for name, command in spec.commands.items()}
    return Filled(
        compile=words.get("compile"),
        run=words["run"],
        check=words.get("check.command"),
        environment={name: filled(value) for name, value in spec.environment.items()},
        time_of=filled(spec.time.of),
        output=filled(spec.check.output),
    )


@dataclass(frozen=True)
class Ran:
    """A run of a candidate.

    Attributes:
        secs: Its time, as the specification says that it is read.
        wall_secs: Its time on the wall clock.
        output: What is compared with the reference; empty where nothing is.
    """

    secs: float
    wall_secs: float
    output: bytes


class Candidate:
    """One configuration of a program, in a folder of its own.

    Args:
        spec: The program.
        values: The value of every parameter.
        folder: A folder for it, which is made by `build` and removed by `drop`.
        guard: Runs its commands.
    """

    def __init__(self, spec: Spec, values: Mapping[str, Value], folder: Path, guard: Guard) -> None:
        self._spec, self._folder, self._guard = spec, folder, guard
        self.commands = fill(spec, values, str(folder))

    def build(self) -> None:
        """Make the folder and run the compile command, if there is one.

        Raises:
            Failed: It failed, or took too long.
        """
        self.drop()
        self._folder.mkdir(parents=True)
        if self.commands.compile is not None:
            limit_secs = self._spec.limits.compile_secs
            self._call("compile", self.commands.compile, limit_secs, Status.BUILD_ERROR)

    def run(self, limit_secs: float) -> Ran:
        """Run it once.

        Args:
            limit_secs: Seconds of the run command, and of the check command.

        Returns:
            Its time and its output.

        Raises:
            Failed: It failed, or took too long, or there is no time in its output.
        """
        commands, spec = self.commands, self._spec
        self._remove_files()
        ended = self._call("run", commands.run, limit_secs, Status.RUN_ERROR, spec.stdin)
        secs = ended.secs
        if not spec.time.by_clock:
            text = self._read("run", commands.time_of).decode(errors="replace")
            try:
                secs = seconds_in(text, spec.time)
            except ReadingError as error:
                raise Failed(Status.RUN_ERROR, str(error)) from None
        return Ran(secs, ended.secs, self._output(limit_secs))

    def drop(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what the commands have printed, so that the program's own files are left."""
        for stage in ("compile", "run", "check"):
            for name in (STDOUT, STDERR):
                self._stream(stage, name).unlink(missing_ok=True)

    def _output(self, limit_secs: float) -> bytes:
        spec, commands = self._spec, self.commands
        if not spec.check.wanted:
            return b""
        if commands.check is not None:
            self._call("check", commands.check, limit_secs, Status.WRONG_OUTPUT)
            return self._read("check", STDOUT)
        content = self._read("run", commands.output)
        if spec.time.by_clock or commands.time_of != commands.output:
            return content
        try:
            return without_time(content.decode(), spec.time).encode()
        except UnicodeDecodeError:
            return content

    def _remove_files(self) -> None:
        """Remove files that the last run has written: they would stand for those of the next."""
        for place in {self.commands.time_of, self.commands.output}:
            if Path(place).is_relative_to(self._folder):
                Path(place).unlink(missing_ok=True)

    def _read(self, stage: str, place: str) -> bytes:
        """Return the content of a stream of a command, or of a file."""
        path = self._stream(stage, place) if place in (STDOUT, STDERR) else Path(place)
        try:
            if path.stat().st_size > _MOST_OUTPUT:
                what = f"{place} has more than {_MOST_OUTPUT // 2**20} MiB"
                raise Failed(Status.RUN_ERROR, f"{what}; print less, or a checksum")
            return path.read_bytes()
        except OSError as error:
            raise Failed(Status.RUN_ERROR, f"no output: {path.name}: {error.strerror}") from None

    def _stream(self, stage: str, name: str) -> Path:
        return self._folder / f".{stage}.{name}"

    def _call(
        self,
        stage: str,
        words: Sequence[str],
        limit_secs: float,
        failure: Status,
        stdin: str = "",
    ) -> Ended:
        command = Command(
            words,
            self._spec.folder,
            {**os.environ, **self.commands.environment},
            self._stream(stage, STDOUT),
            self._stream(stage, STDERR),
            limit_secs,
            self._spec.folder / stdin if stdin else Path(os.devnull),
        )
        try:
            ended = self._guard.run(command)
        except NotStartedError as error:
            raise Failed(failure, f"{stage}: {error}") from None
        if ended.late:
            told = f"{stage} took longer than its limit of {limit_secs:.3g} s"
            raise Failed(Status.TIMEOUT, told)
        if ended.code:
            raise self._failed(stage, ended.code, failure)
        return ended

    def _failed(self, stage: str, code: int, failure: Status) -> Failed:
        said = _tail(self._stream(stage, STDERR)) or _tail(self._stream(stage, STDOUT))
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        cause = next(
            (line for line in lines if "error" in line.lower()),
            (lines or ["(it printed nothing)"])[-1],
        )
        how = f"exit {code}" if code > 0 else _signal_name(-code)
        scarce = code == -9 or any(words in said.lower() for words in _NO_MEMORY)
        status = failure
        if scarce:
            status = Status.OUT_OF_MEMORY
        elif code < 0:
            status = Status.CRASHED
        return Failed(status, f"{stage}: {how}: {cause}"[:_MOST_CHARACTERS])


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return file.read().decode(errors="replace")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
