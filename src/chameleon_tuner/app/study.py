"""Ask and tell: the search for callers that measure by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import Environment, RunInfo, Workload, fingerprint
from chameleon_tuner.records import RecordStore
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import proposed
from chameleon_tuner.search.recipes import resolve_recipe, task_search
from chameleon_tuner.search.schedule import Plan
from chameleon_tuner.space import (
    Constraint,
    DesignSpace,
    configuration_at,
    parameter_space,
    values_at,
)
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

TARGET = {"kind": "study"}

ENVIRONMENT = Environment('{"kind":"study"}', "", 0, {})
"""Timings of a study are comparable where its caller says so: one store, one environment."""

Parameters = Mapping[str, Any]
"""The value of every parameter, by name."""

Told = float | Sequence[float] | str | BaseException
"""Seconds, those of several runs, or why there are none: a text or an exception."""


@dataclass(frozen=True)
class Best:
    """The fastest configuration of a study.

    Attributes:
        configuration: The value of every parameter.
        seconds: Its median seconds.
    """

    configuration: dict[str, Any]
    seconds: float


class Study:
    """A search that asks for measurements instead of making them.

    ```python
    study = Study({"block": [16, 32, 64], "unroll": [1, 2, 4]}, ["block % unroll == 0"], seed=0)
    for configuration in study.ask(8):
        study.tell(configuration, seconds_of(configuration))
    print(study.best)
    ```

    What is asked for follows from the space, the seed and what was told, in its order: it is the
    same in every process, and a study that is opened again on its store goes on where it was. Only
    what was asked and not yet told is asked again then. Not for several threads.

    Args:
        space: The values of each parameter by name, as for `space.parameters.parameter_space`, or
            a design space that it has made.
        constraints: Relations between parameters, as text or as functions.
        seed: Seed of the search, not negative.
        store: File that keeps what was told, or the URL of a database; nothing is kept without it.
        recipe: How to search, see `search.recipes`.

    Raises:
        UsageError: A parameter, a constraint, the seed or the recipe is not valid.
        RecordsError: The store cannot be opened, or another process uses it.
    """

    def __init__(
        self,
        space: Mapping[str, Sequence[Any]] | DesignSpace,
        constraints: Iterable[str | Callable[..., Any] | Constraint] = (),
        *,
        seed: int = 0,
        store: str | Path | None = None,
        recipe: str = "chameleon",
    ) -> None:
        if seed < 0:
            raise UsageError(f"seed {seed}: a seed is not negative")
        self._seed, self._recipe = seed, resolve_recipe(recipe)
        self._task = _task_of(space, constraints)
        self._told: list[Outcome] = []
        self._history = History(self._task.space)
        self._asked: dict[Configuration, None] = {}  # in their order
        self._store, self._run_id = None, 0
        if store is not None:
            self._store = RecordStore.open(store)
            try:
                self._resume(self._store)
            except BaseException:
                self._store.close()
                raise

    def _resume(self, store: RecordStore) -> None:
        info = RunInfo(self._task.key, self._recipe.name, self._seed, {"backend": "study"})
        self._run_id = store.begin(info)
        self._learn(store.outcomes(Workload.of(self._task), ENVIRONMENT))

    @property
    def space(self) -> DesignSpace:
        """The design space."""
        return self._task.space

    def __len__(self) -> int:
        """Return the number of configurations of which a result was told."""
        return len(self._history)

    @property
    def best(self) -> Best | None:
        """The fastest configuration that was told; None before one has run."""
        found = self._history.best
        if found is None:
            return None
        return Best(values_at(self.space, found.configuration), found.seconds)

    def ask(self, count: int = 1) -> list[dict[str, Any]]:
        """Return configurations to measure, most promising first.

        They are legal, distinct, and neither told nor asked before.

        Args:
            count: Largest number of configurations; there are fewer where the space has no more.

        Raises:
            UsageError: The number is not positive.
        """
        if count < 1:
            raise UsageError(f"{count} configurations: ask for at least one")
        asked: list[Configuration] = []
        while len(asked) < count and (more := self._proposed(count - len(asked))):
            self._asked.update(dict.fromkeys(more))
            asked += more
        return [values_at(self.space, one) for one in asked]

    def _proposed(self, count: int) -> Sequence[Configuration]:
        """Return some of the next configurations: a sampler may prefer small batches.

        The parts of the search are made anew, so that nothing but what was told decides.
        """
        if len(self._told) + len(self._asked) >= self.space.count:
            return ()
        searched = task_search(self._task, self._recipe, self._seed, SharedRecords())
        searched.history.extend(self._told)
        searched.history.reserve(list(self._asked))
        moment = (self._seed, int(self._task.key, 16), len(self._told), len(self._asked))
        searched.rng = np.random.default_rng(moment)
        return proposed(Plan(self._task, count), searched, Stopwatch()).configurations

    def tell(self, configuration: Parameters, result: Told) -> None:
        """Learn the result of a configuration, which need not have been asked for.

        The first result of a configuration counts; further ones are kept in the store.

        Args:
            configuration: The value of every parameter.
            result: Its seconds, those of several runs, or why there are none: a text or an
                exception.

        Raises:
            UsageError: It is no configuration of the space, or seconds are not positive.
            RecordsError: The store cannot be written.
        """
        chosen = configuration_at(self.space, configuration)
        outcome = _outcome_of(chosen, result)
        if self._store is not None:
            workload = Workload.of(self._task)
            [outcome] = self._store.append(self._run_id, workload, ENVIRONMENT, [outcome])
        self._learn([outcome])

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        self._told += self._history.extend(outcomes)
        for outcome in outcomes:
            self._asked.pop(outcome.configuration, None)

    def close(self) -> None:
        """Close the store; a second call has no effect."""
        if self._store is not None:
            self._store.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _task_of(
    space: Mapping[str, Sequence[Any]] | DesignSpace,
    constraints: Iterable[str | Callable[..., Any] | Constraint],
) -> Task:
    if not isinstance(space, DesignSpace):
        if not space:
            raise UsageError("there are no parameters; give some, such as {'block': [16, 32]}")
        space = parameter_space(space, constraints)
    elif constraints or not space.sketches[0].names:
        raise UsageError("give constraints and names to `parameter_space`, which makes the space")
    key = fingerprint(to_plain(space))[:16]
    return Task("study", key, "", TARGET, space)


def _outcome_of(configuration: Configuration, result: Told) -> Outcome:
    if isinstance(result, str | BaseException):
        message = " ".join(str(result).split()) or type(result).__name__
        return Outcome(configuration, configuration, "", Status.RUN_ERROR, message=message)
    try:
        samples = tuple(map(float, result if isinstance(result, Iterable) else [result]))
    except (TypeError, ValueError):
        samples = ()
    if not samples or not all(0 < secs < math.inf for secs in samples):
        raise UsageError(
            f"the result is {result!r}: tell positive seconds, or why there are none as a text"
        )
    return Outcome(configuration, configuration, "", Status.OK, samples, run_secs=sum(samples))
