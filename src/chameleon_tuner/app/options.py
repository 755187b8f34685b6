"""What a run is asked for, and the budget that follows from it."""

from __future__ import annotations

import math
import re
import time
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chameleon_tuner.app.calibration import Calibration, finish_secs
from chameleon_tuner.core.errors import UsageError, hint
from chameleon_tuner.core.shapes import GivenShapes, variants
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.search.recipes import Recipe, resolve_recipe
from chameleon_tuner.search.schedule import Budget, parse_duration, trials_of

LEAST_SEARCH = 1 / 3
"""Least share of a time budget for the search. A run whose budget is too small for the search and
for what follows takes longer than its budget."""

LEAST_WORKER_BYTES = 2**30
"""Least memory of a worker; TVM by itself takes 0.4 GiB."""

_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Options:
    """What a run is asked for.

    Attributes:
        effort: Preset of trials: instant, quick, standard, full; by default standard, and with a
            time budget full. A search ends sooner where nothing is gained any more; instant is no
            search.
        trials: Number of trials of all tasks together, in place of the preset's.
        time_budget: Wall-clock of the whole run, such as `10m`, all of which is used.
        seed: Seed of the search.
        recipe: Name of the recipe; see `chameleon_tuner.search.recipes`.
        explorer: Name of an explorer in place of the recipe's.
        sampler: Name of a sampler in place of the recipe's.
        target: `auto`, `cuda` or any TVM target.
        shapes: Static shapes of inputs with open dimensions, by name; several for one input are
            variants, all of which are tuned.
        without: Names of algorithms that kernels may not be computed by; see
            `Backend.algorithms`.
        inputs: Path of an `.npz` file with inputs by name, or the arrays: the model is verified and
            timed on them, and they give open dimensions their sizes.
        store: Where the records of all runs are, a file or a database URL: what was measured before
            is not measured again. False for a run that keeps to its folder; None for the place that
            `CHAMELEON_STORE` names, or else the user's own.
        worker_memory: Memory that a worker process may use, such as `6G`; by default an equal share
            of the machine's.
    """

    effort: str | None = None
    trials: int | None = None
    time_budget: str | None = None
    seed: int = 0
    recipe: str = "chameleon"
    explorer: str | None = None
    sampler: str | None = None
    target: str = "auto"
    shapes: GivenShapes | None = None
    without: Collection[str] = ()
    inputs: str | Path | Mapping[str, Any] | None = None
    store: str | Path | bool | None = None
    worker_memory: str | None = None

    def check(self, algorithms: Collection[str]) -> Recipe:
        """Check everything that needs no model, and return the recipe.

        Args:
            algorithms: Names of the backend's algorithms.

        Returns:
            The recipe.

        Raises:
            UsageError: Something is unknown or out of range.
        """
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"{self.trials} trials: ask for at least one")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: a seed is not negative")
        trials_of(self._preset, 1)
        if self.time_budget is not None:
            parse_duration(self.time_budget)
        self.worker_limits(1)
        variants(self.shapes or {})
        for name in self.without:
            if name not in algorithms:
                known = ", ".join(algorithms)
                raise UsageError(
                    f"unknown algorithm {name!r}; {hint(name, algorithms)}known: {known}"
                )
        return resolve_recipe(self.recipe, self.explorer, self.sampler)

    def worker_limits(self, workers: int) -> WorkerLimits:
        """Return what each of so many workers may use.

        Raises:
            UsageError: The memory is no size, or too small.
        """
        limits = WorkerLimits.of_machine(workers)
        if self.worker_memory is None:
            return limits
        limit = parse_size(self.worker_memory)
        if limit < LEAST_WORKER_BYTES:
            raise UsageError(f"{self.worker_memory!r} is too little; give a worker 1G or more")
        return WorkerLimits(limit, min(limits.recycle_bytes, limit // 2))

    def budget(
        self, kernels: int, begun_secs: float, calibration: Calibration, elapsed_secs: float = 0.0
    ) -> Budget:
        """Return the budget of a search that begins now.

        Args:
            kernels: Number of distinct kernels of the network.
            begun_secs: Seconds that the run took to prepare.
            calibration: How long a run takes after its search.
            elapsed_secs: Seconds that the run has taken until now; at least `begun_secs`.

        Returns:
            The budget.
        """
        trials = self.trials if self.trials is not None else trials_of(self._preset, kernels)
        if self.time_budget is None:
            return Budget(trials)
        whole_secs = self.total_secs
        least_secs = LEAST_SEARCH * whole_secs
        after_secs = calibration.finish_secs(kernels, begun_secs)
        elapsed_secs = max(elapsed_secs, begun_secs)
        left_secs = max(least_secs, whole_secs - after_secs - elapsed_secs)
        # The size of the batches follows from this one: a run that is resumed has to propose the
        # same, so it must not depend on what was measured.
        search_secs = max(least_secs, whole_secs - finish_secs(kernels))
        return Budget(trials, time.monotonic() + left_secs, search_secs=search_secs)

    @property
    def total_secs(self) -> float:
        """Seconds that the whole run may take; infinite without a time budget."""
        return parse_duration(self.time_budget) if self.time_budget else math.inf

    @property
    def _preset(self) -> str:
        return self.effort or ("full" if self.time_budget else "standard")


def load_samples(inputs: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a user's inputs by name; none where there are none.

    Raises:
        UsageError: The file is missing, or is no archive of arrays.
    """
    if inputs is None:
        return {}
    if isinstance(inputs, Mapping):
        return {name: np.asarray(array) for name, array in inputs.items()}
    try:
        with np.load(inputs, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UsageError(f"--inputs {inputs}: no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        raise UsageError(
            f"--inputs {inputs}: not an .npz file of arrays; write one with numpy.savez"
        ) from None


def parse_size(text: str) -> int:
    """Return the bytes of a size such as `6G`, `512M` or `2000000000`.

    Raises:
        UsageError: It is no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = float(found[1]) * _SIZES[found[2].upper()] if found else 0.0
    if size < 1:
        raise UsageError(f"{text!r} is not a size; write 6G or 512M")
    return int(size)
