"""What tuning a program is asked for, and the budget that follows from it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.search.recipes import Recipe, resolve_recipe
from chameleon_tuner.search.schedule import EFFORTS, Budget, parse_duration

TRIALS = EFFORTS["standard"]
"""Trials of a run that is given neither trials nor a time budget."""

LEAST_SEARCH = 1 / 3
"""Least share of a time budget for the search."""


@dataclass(frozen=True)
class ProgramOptions:
    """What a run is asked for.

    Attributes:
        trials: Number of trials; by default 192, and with a time budget as many as fit.
        time_budget: Wall-clock of the whole run, such as `2m`.
        seed: Seed of the search.
        recipe: Name of the recipe; see `chameleon_tuner.search.recipes`.
    """

    trials: int | None = None
    time_budget: str | None = None
    seed: int = 0
    recipe: str = "chameleon"

    def check(self) -> Recipe:
        """Check everything, and return the recipe.

        Raises:
            UsageError: Something is unknown or out of range.
        """
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"{self.trials} trials: ask for at least one")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: a seed is not negative")
        if self.time_budget is not None:
            parse_duration(self.time_budget)
        return resolve_recipe(self.recipe)

    def budget(self, elapsed_secs: float, after_secs: float) -> Budget:
        """Return the budget of a search that begins now.

        Args:
            elapsed_secs: Seconds that the run has taken until now.
            after_secs: Estimate of the seconds that it takes after the search.
        """
        if self.time_budget is None:
            return Budget(TRIALS if self.trials is None else self.trials)
        whole_secs = self.total_secs
        search_secs = max(LEAST_SEARCH * whole_secs, whole_secs - after_secs)
        left_secs = max(LEAST_SEARCH * whole_secs, search_secs - elapsed_secs)
        trials = 2**31 if self.trials is None else self.trials
        return Budget(trials, time.monotonic() + left_secs, search_secs=search_secs)

    @property
    def total_secs(self) -> float:
        """Seconds that the whole run may take; infinite without a time budget."""
        return parse_duration(self.time_budget) if self.time_budget else math.inf
