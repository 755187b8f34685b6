"""The final comparison of a program in a worker: finalists beside the default configuration."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from chameleon_tuner.backends.program.learned import Loaded, Programs
from chameleon_tuner.backends.program.running import Candidate
from chameleon_tuner.backends.program.template import Value
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import Failed, RejectedError, Timed
from chameleon_tuner.system.commands import Guard


@dataclass
class _Contender:
    """A configuration in a final.

    Attributes:
        candidate: The configuration, built; None where it failed.
        samples: Seconds of each round.
        message: Why it failed.
    """

    candidate: Candidate | None = None
    samples: list[float] = field(default_factory=list)
    message: str = ""

    def fail(self, error: Exception) -> None:
        """Take it out of the comparison."""
        self.message, self.samples = str(error) or type(error).__name__, []
        if self.candidate is not None:
            self.candidate.drop()
        self.candidate = None


class Finals:
    """Compares finalists with the default configuration; implements `ports.handler.FinalHandler`.

    The output of every run is compared with the reference, so that `judge` has nothing to run.
    """

    def __init__(self, programs: Programs, guard: Guard) -> None:
        self._programs, self._guard = programs, guard
        self._loaded: Loaded | None = None
        self._contenders: list[_Contender] = []
        self._timed = False

    def ready(self, key: str, finalists: Sequence[tuple[str, Configuration]]) -> None:
        """See `FinalHandler.ready`."""
        self._over()
        loaded = self._programs[key]
        everybody = [_Contender(), *(_Contender() for _ in finalists)]
        wanted: list[tuple[Loaded, Callable[[], Mapping[str, Value]]]]
        wanted = [(loaded, partial(dict, loaded.spec.default))]
        for other, configuration in finalists:
            mine = self._programs[other]
            wanted.append((mine, partial(mine.values, configuration)))
        for contender, (mine, values) in zip(everybody, wanted, strict=True):
            try:
                contender.candidate = mine.candidate(values(), self._guard)
                contender.candidate.build()
            except (Failed, RejectedError) as error:
                contender.fail(error)
        self._loaded, self._contenders = loaded, everybody

    def contend(self, rounds: int, round_secs: float, apart_bytes: int = 0) -> None:
        """See `FinalHandler.contend`; a program's own processes share no weights."""
        loaded = self._held()
        for contender in self._contenders:
            self._sample(loaded, contender, 0.0, warming=True)
        for _ in range(rounds):
            for contender in self._contenders:
                self._sample(loaded, contender, round_secs)
        self._timed = True

    def judge(self, tolerance: float = -1.0) -> list[Timed]:
        """See `FinalHandler.judge`."""
        self._held()
        if not self._timed:
            raise ValueError("the final was not timed")
        [untuned, *others] = self._contenders
        errors: dict[int, float] = {}
        ran = [one for one in others if one.samples]
        for one in sorted(ran, key=lambda one: statistics.median(one.samples)):
            errors[id(one)] = 0.0  # a run whose output differs is a failure
            if tolerance >= 0:
                break
        timed = [Timed(tuple(one.samples), errors.get(id(one)), one.message) for one in others]
        first = Timed(tuple(untuned.samples), None if untuned.message else 0.0, untuned.message)
        self._over()
        return [first, *timed]

    def _sample(
        self, loaded: Loaded, contender: _Contender, round_secs: float, *, warming: bool = False
    ) -> None:
        """Run a contender for a round, at least once."""
        if contender.candidate is None:
            return
        begin, runs = time.perf_counter(), list[float]()
        try:
            while not runs or time.perf_counter() - begin < round_secs:
                runs.append(loaded.run(contender.candidate).secs)
        except Failed as error:
            contender.fail(error)
            return
        if not warming:
            contender.samples.append(statistics.fmean(runs))

    def _held(self) -> Loaded:
        if self._loaded is None:
            raise ValueError("there is no final")
        return self._loaded

    def _over(self) -> None:
        for contender in self._contenders:
            if contender.candidate is not None:
                contender.candidate.drop()
        self._loaded, self._contenders, self._timed = None, [], False
