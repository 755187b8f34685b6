"""What is compared: who, on what, how much, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from chameleon_tuner.compare.searching import Terms
from chameleon_tuner.errors import UsageError
from chameleon_tuner.recipes import PAIRED, RECIPES, resolve_recipe

METASCHEDULE = "metaschedule"
"""TVM's own tuner; a contestant that is no recipe of this project."""

PAPERS_2X2 = "2x2"
"""Short for the four pairs of the paper's evaluation."""

PAIRS = tuple(PAIRED.join(p) for p in product(("annealing", "ppo"), ("greedy", "adaptive")))

METASCHEDULE_BATCH = 64
"""Trials a round, its default (`num_trials_per_iter`)."""

UNLIMITED = 2**31
"""Trials where only time counts."""


@dataclass(frozen=True)
class Contestant:
    """A recipe as it takes part.

    Attributes:
        label: as the user wrote it, `name` or `name:trials`.
        recipe: its name.
        trials: its own number of them; None for everybody's.
    """

    label: str
    recipe: str
    trials: int | None = None

    @property
    def batch(self) -> int:
        """Candidates it measures at once, at most."""
        return (
            METASCHEDULE_BATCH if self.recipe == METASCHEDULE else resolve_recipe(self.recipe).batch
        )


def contestants_of(text: str) -> list[Contestant]:
    """The contestants of a list such as `chameleon,2x2,metaschedule:256`.

    Raises:
        UsageError: one is unknown or there twice, or the list is empty.
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
    """What `contestants_of` understands, beside pairs such as `annealing+greedy`."""
    return (*RECIPES, PAPERS_2X2, METASCHEDULE)


def is_metaschedule(label: str) -> bool:
    """Whether a contestant of that label is TVM's own tuner."""
    return label.partition(":")[0] == METASCHEDULE


def _contestant(label: str) -> Contestant:
    recipe, separator, trials = label.partition(":")
    if recipe != METASCHEDULE:
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
        contestants: who takes part.
        trials: candidates measured in a run, for those without a number of their own; None where
            only time counts.
        budget_secs: of a run, from the start of its process; infinite where only trials count.
        seeds: runs of every contestant on every task, seeds 0, 1, ...
    """

    contestants: Sequence[Contestant]
    trials: int | None
    budget_secs: float
    seeds: int

    def check(self) -> None:
        """Make sure that everybody can measure something.

        Raises:
            UsageError: there is no budget, or one too small for a batch; or no seed.
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
        """Candidates a contestant may measure in a run."""
        return contestant.trials or self.trials or UNLIMITED

    def terms(self, contestant: Contestant, seed: int) -> Terms:
        """What one run of a contestant is given."""
        return Terms(contestant.label, seed, self.trials_of(contestant), self.budget_secs)

    def runs(self, tasks: Sequence[str]) -> Iterator[Run]:
        """Every run, in their order.

        All of a seed before any of the next: a comparison that is stopped has compared
        everybody. The contestants take turns on every task, in an order drawn anew each time, so
        that none always has the machine's better hour.
        """
        for seed in range(self.seeds):
            for number, task in enumerate(tasks):
                order = np.random.default_rng([seed, number]).permutation(len(self.contestants))
                for position in order:
                    contestant = self.contestants[position]
                    yield Run(contestant, task, self.terms(contestant, seed))


@dataclass(frozen=True)
class Run:
    """One contestant on one task with one seed.

    Attributes:
        contestant: who.
        task: name of the task.
        terms: what it is given, seed included.
    """

    contestant: Contestant
    task: str
    terms: Terms

    @property
    def name(self) -> str:
        """Tells it from all others; fit for the name of a file."""
        return f"{self.task}.{self.contestant.label.replace(':', '-')}.{self.terms.seed}"
