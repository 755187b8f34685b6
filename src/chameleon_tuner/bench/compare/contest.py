"""The terms of a comparison: contestants, budgets, seeds, and the order of the runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from chameleon_tuner.bench.compare.searching import Terms
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.ports.runlog import (
    METASCHEDULE,
    METASCHEDULE_BATCH,
    OUR_STRATEGY,
    is_metaschedule,
)
from chameleon_tuner.search.recipes import PAIRED, RECIPES, resolve_recipe

PAPERS_2X2 = "2x2"
"""Abbreviation for `PAIRS`."""

PAIRS = tuple(PAIRED.join(p) for p in product(("annealing", "ppo"), ("greedy", "adaptive")))
"""The four pairs of explorer and sampler in the paper's evaluation."""

UNLIMITED = 2**31
"""Maximum number of trials in runs that are limited by time only."""


@dataclass(frozen=True)
class Contestant:
    """A recipe that takes part in a comparison.

    Attributes:
        label: Recipe as the user wrote it, `name` or `name:trials`.
        recipe: Name of the recipe.
        trials: Trials per run of this contestant; None for the number in the `Contest`.
    """

    label: str
    recipe: str
    trials: int | None = None

    @property
    def batch(self) -> int:
        """The maximum number of candidates in one batch."""
        return (
            METASCHEDULE_BATCH
            if is_metaschedule(self.recipe)
            else resolve_recipe(self.recipe).batch
        )


def contestants_of(text: str) -> list[Contestant]:
    """Parse a list of contestants such as `chameleon,2x2,metaschedule:256`.

    Raises:
        UsageError: A recipe is unknown or appears twice, or the list is empty.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    spelled = [n for name in names for n in (PAIRS if name == PAPERS_2X2 else (name,))]
    if not spelled:
        raise UsageError(f"no recipes to compare; name some of {', '.join(known_recipes())}")
    twice = [name for name in spelled if spelled.count(name) > 1]
    if twice:
        raise UsageError(f"recipe {twice[0]!r} is there twice; name it once")
    return [_contestant(name) for name in spelled]


def known_recipes() -> tuple[str, ...]:
    """Return the names that `contestants_of` accepts, besides pairs like `annealing+greedy`."""
    return (*RECIPES, PAPERS_2X2, METASCHEDULE, OUR_STRATEGY)


def _contestant(label: str) -> Contestant:
    """Parse a label `name` or `name:trials`."""
    recipe, separator, trials = label.partition(":")
    if not is_metaschedule(recipe):
        try:
            resolve_recipe(recipe)
        except UsageError as error:
            hint = (
                f"; {METASCHEDULE} and {PAPERS_2X2} are there, too" if PAIRED not in recipe else ""
            )
            raise UsageError(f"{error}{hint}") from None
    if separator and not (trials.isdecimal() and int(trials)):
        raise UsageError(f"{label!r}: write a recipe's own trials as {recipe}:256")
    return Contestant(label, recipe, int(trials) if separator else None)


@dataclass(frozen=True)
class Contest:
    """The terms of a comparison.

    Attributes:
        contestants: The recipes that are compared.
        trials: Trials per run of contestants without a number of their own; None if runs are
            limited by time only.
        budget_secs: Time budget of a run, from the start of its process; infinite if runs are
            limited by trials only.
        seeds: Number of runs of every contestant on every task; their seeds are 0, 1, ...
    """

    contestants: Sequence[Contestant]
    trials: int | None
    budget_secs: float
    seeds: int

    def check(self) -> None:
        """Raise a `UsageError` unless every contestant can measure at least one batch.

        Raises:
            UsageError: There is no budget, too few trials for one batch, or no seed.
        """
        if self.seeds < 1:
            raise UsageError(f"{self.seeds} seeds: ask for at least one")
        if self.trials is None and math.isinf(self.budget_secs):
            raise UsageError("no budget; give --trials 128, --budget 120s, or both")
        for contestant in self.contestants:
            trials = self.trials_of(contestant)
            if trials < contestant.batch:
                raise UsageError(
                    f"{trials} trials are less than one batch of {contestant.label} "
                    f"({contestant.batch}); give --trials {contestant.batch} or more"
                )

    def trials_of(self, contestant: Contestant) -> int:
        """Return the maximum number of trials in a run of a contestant."""
        given = (contestant.trials, self.trials, UNLIMITED)
        return next(trials for trials in given if trials is not None)

    def terms(self, contestant: Contestant, seed: int) -> Terms:
        """Return the terms of one run of a contestant."""
        return Terms(contestant.label, seed, self.trials_of(contestant), self.budget_secs)

    def runs(self, tasks: Sequence[str]) -> Iterator[Run]:
        """Yield all runs in the order of execution.

        All runs with one seed come before those with the next, so that an interrupted comparison
        has runs of all contestants. For each seed and task, the order of the contestants is drawn
        at random, so that no contestant always runs while the machine is faster.
        """
        for seed in range(self.seeds):
            for number, task in enumerate(tasks):
                order = np.random.default_rng([seed, number]).permutation(len(self.contestants))
                for position in order:
                    contestant = self.contestants[position]
                    yield Run(contestant, task, self.terms(contestant, seed))


@dataclass(frozen=True)
class Run:
    """One run of one contestant on one task with one seed.

    Attributes:
        contestant: The contestant.
        task: Name of the task.
        terms: Terms of the run, including the seed.
    """

    contestant: Contestant
    task: str
    terms: Terms

    @property
    def name(self) -> str:
        """A name that is unique among the runs of a comparison and valid in file names."""
        return f"{self.task}.{self.contestant.label.replace(':', '-')}.{self.terms.seed}"
