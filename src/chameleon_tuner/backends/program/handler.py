"""What a worker process answers about programs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from chameleon_tuner.backends.program.candidates import Candidates
from chameleon_tuner.backends.program.checking import wrong
from chameleon_tuner.backends.program.finals import Finals
from chameleon_tuner.backends.program.learned import Programs
from chameleon_tuner.backends.program.running import Candidate
from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.backends.program.timing import without_time
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Failed, Request
from chameleon_tuner.system.commands import Guard
from chameleon_tuner.system.files import write_whole

HANDLER = HandlerEntry["ProgramHandler"](
    "chameleon_tuner.backends.program.handler", "ProgramHandler"
)
"""Where worker processes find the handler of this backend."""


class ProgramHandler:
    """Answers requests about programs.

    Attributes:
        tasks: The part that learns programs.
        candidates: The part that builds and runs candidates.
        finals: The part that judges finals.
    """

    def __init__(self) -> None:
        self.guard = Guard()
        self.tasks = Programs()
        self.candidates = Candidates(self.tasks, self.guard)
        self.finals = Finals(self.tasks, self.guard)


@dataclass(frozen=True)
class DefaultTimes:
    """What the default configuration takes.

    Attributes:
        build_secs: Seconds of the compile command.
        secs: Times of the runs, as the specification says that they are read.
        wall_secs: Times of the runs on the wall clock.
    """

    build_secs: float
    secs: tuple[float, ...]
    wall_secs: tuple[float, ...]


@dataclass(frozen=True)
class MakeReference(Request[ProgramHandler, DefaultTimes]):
    """Runs the default configuration twice, and keeps its output as the reference.

    Attributes:
        key: Key of the task.
        path: File that receives the output.
    """

    key: str
    path: str
    stage: ClassVar[str] = "reference"
    failure: ClassVar[Status] = Status.RUN_ERROR

    def answered_by(self, handler: ProgramHandler) -> DefaultTimes:
        """See `Request.answered_by`."""
        loaded = handler.tasks[self.key]
        check, candidate = loaded.spec.check, loaded.candidate(loaded.spec.default, handler.guard)
        begin = time.perf_counter()
        try:
            candidate.build()
            build_secs = time.perf_counter() - begin
            runs = [candidate.run(loaded.places.run_secs) for _ in range(2)]
        finally:
            candidate.drop()
        right = _given_reference(loaded.spec) if check.reference else runs[0].output
        if check.wanted and not right:
            raise Failed(Status.RUN_ERROR, _NOTHING_TO_CHECK)
        for ran in runs:
            found = check.wanted and wrong(ran.output, right, check)
            if found:
                raise Failed(Status.WRONG_OUTPUT, _why_wrong(check.reference, found))
        write_whole(Path(self.path), right)
        secs, wall_secs = zip(*((ran.secs, ran.wall_secs) for ran in runs), strict=True)
        return DefaultTimes(build_secs, secs, wall_secs)


_NOTHING_TO_CHECK = (
    "it prints nothing that could be checked; name what it writes, as in [check] "
    'output = "{build}/result", or write output = "none" to take every output as right'
)


def _why_wrong(reference: str, found: str) -> str:
    if reference:
        return f"its output is not that of {reference}: {found}"
    return (
        f"its output is another one in a second run: {found}; leave out what changes by "
        "[check] ignore, allow for a tolerance, or compare a file"
    )


def _given_reference(spec: Spec) -> bytes:
    """Return the content of the reference file, without a time where the program prints one."""
    content = (spec.folder / spec.check.reference).read_bytes()
    same = spec.check.command is None and spec.time.of == spec.check.output
    if spec.time.by_clock or not same:
        return content
    try:
        return without_time(content.decode(), spec.time).encode()
    except UnicodeDecodeError:
        return content


@dataclass(frozen=True)
class Install(Request[ProgramHandler, None]):
    """Builds a configuration into a folder that stays, and runs it once.

    Attributes:
        key: Key of the task.
        configuration: The configuration; None for the default one.
        folder: The folder, which is made anew.
    """

    key: str
    configuration: Configuration | None
    folder: str
    stage: ClassVar[str] = "install"

    def answered_by(self, handler: ProgramHandler) -> None:
        """See `Request.answered_by`."""
        loaded, chosen = handler.tasks[self.key], self.configuration
        values = loaded.spec.default if chosen is None else loaded.values(chosen)
        candidate = Candidate(loaded.spec, values, Path(self.folder), handler.guard)
        candidate.build()
        loaded.run(candidate)
        candidate.tidy()
