"""The result of tuning a program: `summary.json`, `report.md` and the lines on the terminal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.report.board import failures
from chameleon_tuner.report.numbers import clock as clock_face
from chameleon_tuner.report.numbers import duration, plural, ratio, size
from chameleon_tuner.report.run import statuses, time_line
from chameleon_tuner.report.sections import markdown_table
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.files import REPORT, SUMMARY, strict_json, write_whole

Parameters = Mapping[str, Any]
"""The value of every parameter, by name."""


@dataclass(frozen=True)
class Contender:
    """A configuration in the final comparison.

    Attributes:
        parameters: Its parameters.
        seconds: The median of its rounds; infinite where it failed.
        samples: Seconds of each round.
        message: Why it failed.
    """

    parameters: Parameters
    seconds: float
    samples: Sequence[float]
    message: str = ""


@dataclass(frozen=True)
class ProgramResult:
    """The result of a finished run; `summary.json` has the same attributes.

    Attributes:
        program: Name of the program.
        default: The default configuration in the final comparison.
        finalists: The fastest candidates of the search in the same comparison.
        winner: Place of the winner among the finalists; None where the default stays.
        checked: How outputs were checked; empty if the specification says that they are not.
        commands: The winner's commands as they are typed into a shell: compile, run, check.
        recipe: Recipe of the search.
        seed: Seed of the search.
        space: Number of configurations.
        trials: Numbers of trials: attempted, measured, censored, and failed by status.
        seconds: Seconds by activity: total, explore, sample, fit, build, run, other.
        environment: The machine, and hashes of the programs that were run.
        reason: Why the default stays; empty where there is a winner.
        folder: Folder of the output; not part of the file.
    """

    program: str
    default: Contender
    finalists: Sequence[Contender]
    winner: int | None
    checked: str
    commands: Mapping[str, str]
    recipe: str
    seed: int
    space: int
    trials: Mapping[str, Any]
    seconds: Mapping[str, float]
    environment: Mapping[str, Any]
    folder: Path
    reason: str = ""

    @property
    def best(self) -> Contender:
        """What won: a finalist, or the default configuration."""
        return self.default if self.winner is None else self.finalists[self.winner]

    @property
    def speedup(self) -> float:
        """The time of the default configuration, divided by that of what won."""
        return self.default.seconds / self.best.seconds

    def to_json(self) -> dict[str, Any]:
        """Return the content of `summary.json`."""
        data = asdict(self)
        del data["folder"]
        data |= {"best": asdict(self.best), "speedup": self.speedup}
        return {key: strict_json(value) for key, value in data.items()}

    def write(self) -> None:
        """Write `summary.json` and `report.md` into the folder."""
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        write_whole(self.folder / SUMMARY, f"{text}\n")
        write_whole(self.folder / REPORT, "\n".join(_report(self)) + "\n")


def told(parameters: Parameters) -> str:
    """Return parameters in a line: `block=32 unroll=4`."""
    return " ".join(f"{name}={_shown(value)}" for name, value in parameters.items())


def _shown(value: Any) -> str:
    text = str(value)
    return text if text and not set(text) & set(" '\"") else repr(text)


def closing_lines(result: ProgramResult, recorded: int) -> list[str]:
    """Return the lines of the closing summary.

    Args:
        result: The result.
        recorded: Number of trials that an earlier run had measured.
    """
    recalled = min(recorded, result.trials["attempted"])
    before = f" ({recalled:,} of them in an earlier run)" if recalled else ""
    trials = plural(result.trials["attempted"], "trial")
    return [
        f"{result.program}: {headline(result)}",
        f"parameters: {told(result.best.parameters)}",
        f"outputs: {result.checked or 'not checked, as the specification asks'}",
        f"{trials}{before} of {size(result.space)} configurations: {statuses(result.trials)}",
        f"{clock_face(result.seconds['total'])} in all: {time_line(result.seconds)}",
        *(f"{name}: {command}" for name, command in result.commands.items()),
        f"everything is in {result.folder}/, read {result.folder / REPORT}",
    ]


def headline(result: ProgramResult) -> str:
    """Return the times in one line."""
    default = duration(result.default.seconds)
    if result.winner is None:
        return f"{default} by default, which stays: {result.reason}"
    faster = ratio(result.default.seconds, result.best.seconds)
    return f"{duration(result.best.seconds)} tuned, {default} by default: {faster} as fast"


def _report(result: ProgramResult) -> Iterator[str]:
    yield f"# {result.program}"
    yield from ("", f"{headline(result)}.", "", "## Commands", "", "```sh")
    yield from (result.commands[name] for name in ("compile", "run") if name in result.commands)
    yield from ("```", "", f"The winner's files are in `{result.folder / 'best'}`.", "")
    yield from ("## Parameters", "")
    yield from _parameters(result)
    yield from ("", "## Final comparison", "")
    yield "All ran in turns, one after another, in every round; a time is the median of the rounds."
    checked = result.checked or "not checked, as the specification asks"
    yield from (f"Outputs: {checked}.", "")
    yield from markdown_table(("configuration", "time", "speed-up", ""), _rows(result))
    yield from ("", "## Search", "")
    environment = result.environment
    yield from (
        f"- {plural(result.trials['attempted'], 'trial')} of {size(result.space)} configurations: "
        f"{statuses(result.trials)}",
        f"- recipe `{result.recipe}`, seed {result.seed}",
        f"- {clock_face(result.seconds['total'])} in all: {time_line(result.seconds)}",
        f"- on {environment['device']}, {plural(environment['threads'], 'core')}",
    )


def _parameters(result: ProgramResult) -> Iterator[str]:
    best, default = result.best.parameters, result.default.parameters
    rows = [(name, _shown(default[name]), _shown(best[name])) for name in default]
    yield from markdown_table(("parameter", "default", "best"), rows)


def _rows(result: ProgramResult) -> list[tuple[str, str, str, str]]:
    default = result.default
    rows = [("default", duration(default.seconds), "1x", default.message)]
    for number, one in enumerate(result.finalists):
        won = "winner" if number == result.winner else one.message
        faster = ratio(default.seconds, one.seconds)
        rows.append((told(one.parameters), duration(one.seconds), faster, won))
    return rows


class ProgramLines:
    """The progress of a run, a line for every batch.

    If the stream can no longer be written, the lines are dropped silently.

    Args:
        stream: Where the lines are written; None shows nothing.
        clock: Stopwatch of the run.

    Attributes:
        recorded: Number of trials in the records when the search began; None before it began.
        trials: Number of trials so far, those that were recalled included.
    """

    def __init__(self, stream: TextIO | None, clock: Stopwatch) -> None:
        self._stream, self._clock = stream, clock
        self.recorded: int | None = None
        self.trials = self._failed = 0
        self._of = ""

    def doing(self, what: str) -> None:
        """Show what is done now."""
        self._say(what)

    def begin(self, space: int, total: int | None, recorded: int) -> None:
        """Show the begin of the search.

        Args:
            space: Number of configurations.
            total: Largest number of trials; None where the time limits it.
            recorded: Number of trials that an earlier run has measured.
        """
        self.recorded, self._of = recorded, f"/{total}" if total else ""
        limit = f"at most {plural(total, 'trial')}" if total else "as many trials as fit"
        self._say(f"{plural(space, 'configuration')}, {limit}")
        if recorded:
            self._say(f"resuming: {plural(recorded, 'trial')} in the records, not measured again")

    def batch(self, outcomes: Sequence[Outcome], best: Outcome | None, parameters: str) -> None:
        """Show a batch; one that was only recalled gets no line.

        Args:
            outcomes: Its new outcomes.
            best: The fastest outcome so far.
            parameters: The parameters of the fastest one.
        """
        self.trials += len(outcomes)
        self._failed += failures(outcomes)
        if self.trials <= (self.recorded or 0):
            return
        found = f"best {duration(best.seconds)}: {parameters}" if best else "none has run yet"
        last = f"; the last: {outcomes[-1].message}" if not best and outcomes else ""
        self._say(f"{self.trials}{self._of} trials ({self._failed} failed), {found}{last}")

    def interruption(self, folder: Path) -> str:
        """Return the message for a user who interrupts the run."""
        if self.recorded is None:
            return "interrupted before anything new was measured"
        saved = plural(max(self.trials, self.recorded), "trial")
        return f"interrupted; {saved} are saved in {folder}/, the same command goes on from there"

    def _say(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"[{self._clock.total():6.1f}s] {text}\n")
                self._stream.flush()
