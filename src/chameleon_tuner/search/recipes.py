"""Recipes: named combinations of explorer, sampler, cost model and batch size."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from chameleon_tuner.core.errors import UsageError, hint
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.cost.building import BuildCost
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.explore.analytic import Core
from chameleon_tuner.search.explore.base import Explorer
from chameleon_tuner.search.explore.composed import MixedExplorer, WithTwins
from chameleon_tuner.search.explore.evolutionary import (
    ElitesExplorer,
    EvolutionaryExplorer,
    EvolutionConfig,
)
from chameleon_tuner.search.explore.local import AnnealingExplorer, DescentExplorer
from chameleon_tuner.search.explore.pool import RandomExplorer
from chameleon_tuner.search.explore.whole import WholeExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import TaskSearch
from chameleon_tuner.search.sample.adaptive import AdaptiveSampler
from chameleon_tuner.search.sample.base import Sampler
from chameleon_tuner.search.sample.baselines import (
    AfterOpening,
    DiverseSampler,
    GreedySampler,
    TakeAllSampler,
)
from chameleon_tuner.search.sample.opening import WithOpening
from chameleon_tuner.search.sample.portfolio import ByKind, PortfolioSampler
from chameleon_tuner.search.sample.spread import Curiosity, SpreadSampler
from chameleon_tuner.space.task import Task

T = TypeVar("T")

PAIRED = "+"
"""The separator in the name of a pair of explorer and sampler, such as `annealing+greedy`."""


@dataclass(frozen=True)
class Recipe:
    """A combination of the parts that search a task.

    Attributes:
        name: The name of the recipe; the names of replaced parts are appended.
        explorer: Builds the explorer of one task, given the records that the network's tasks share.
        sampler: Builds the sampler of a task.
        surrogate: Builds the cost model of one task, given the records that the tasks share.
        batch: The size of the plan: the largest number of candidates measured at once.
    """

    name: str
    explorer: Callable[[SharedRecords], Explorer]
    sampler: Callable[[Task], Sampler]
    surrogate: Callable[[Task, SharedRecords], Surrogate]
    batch: int = 64


def _alone(task: Task, shared: SharedRecords) -> Surrogate:
    """Build a cost model that uses no records of other tasks, as in AutoTVM and the paper."""
    return TreeSurrogate(task.space)


def _cold(task: Task, shared: SharedRecords) -> Surrogate:
    """Build a cost model that shares records with other tasks but has no prior."""
    return TreeSurrogate(task.space, shared=shared)


def _informed(task: Task, shared: SharedRecords) -> Surrogate:
    """Build a cost model with shared records, the shipped prior and a price for long builds.

    A program with parameters has neither: no prior fits, and the price of a long build leads away
    from unrolled kernels, which were the fastest on one of two GPUs (docs/evaluation.md).
    """
    from chameleon_tuner.search.cost import prior  # only for recipes with a prior

    if not task.space.tiled:
        return _cold(task, shared)
    known = prior.shipped(task.space.feature_names, task.vector_bits)
    building = BuildCost(task.space, known.building if known else None)
    return TreeSurrogate(task.space, shared=shared, prior=known, building=building)


def _mixed() -> Explorer:
    return MixedExplorer([EvolutionaryExplorer(), DescentExplorer()])


def _islands(shared: SharedRecords) -> Explorer:
    islands = EvolutionaryExplorer(EvolutionConfig(islands=True))
    mixed = MixedExplorer([islands, DescentExplorer(), ElitesExplorer()])
    return WithTwins(WholeExplorer(mixed), shared)


def _curious(task: Task) -> Sampler:
    """Build the sampler of the recipe `chameleon`.

    In replayed searches, the final kernels are 1% faster with beta 2 than with beta 1
    (docs/log.md).
    """
    spread = SpreadSampler(beta=2.0, of_each=0.125, curiosity=Curiosity())
    return ByKind(tiled=WithOpening(spread, Core.of(task)), plain=PortfolioSampler())


def _ppo() -> Explorer:
    from chameleon_tuner.search.explore.ppo import PPOExplorer  # only for recipes with PPO

    return PPOExplorer()


def _ppo_paper() -> Explorer:
    from chameleon_tuner.search.explore.ppo import PAPER, PPOExplorer

    return PPOExplorer(PAPER)


def _unshared(explorer: Callable[[], Explorer]) -> Callable[[SharedRecords], Explorer]:
    """Adapt an explorer that does not use the shared records to the signature of a recipe."""
    return lambda shared: explorer()


def _of_any(sampler: Callable[[], Sampler]) -> Callable[[Task], Sampler]:
    """Adapt a sampler that is the same for all tasks to the signature of a recipe."""
    return lambda task: sampler()


EXPLORERS: Mapping[str, Callable[[], Explorer]] = {
    "annealing": AnnealingExplorer,
    "descent": DescentExplorer,
    "elites": ElitesExplorer,
    "evolutionary": EvolutionaryExplorer,
    "mixed": _mixed,
    "ppo": _ppo,
    "ppo-paper": _ppo_paper,
    "random": RandomExplorer,
}

SAMPLERS: Mapping[str, Callable[[], Sampler]] = {
    "adaptive": AdaptiveSampler,
    "diverse": DiverseSampler,
    "greedy": GreedySampler,
    "spread": SpreadSampler,
    "take-all": TakeAllSampler,
}

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("chameleon", _islands, _curious, _informed, batch=16),
        Recipe(
            "chameleon-cold",
            _unshared(EXPLORERS["mixed"]),
            _of_any(SAMPLERS["spread"]),
            _cold,
            batch=16,
        ),
        Recipe(
            "chameleon-paper",
            _unshared(EXPLORERS["ppo-paper"]),
            _of_any(SAMPLERS["adaptive"]),
            _alone,
        ),
        Recipe("autotvm", _unshared(EXPLORERS["annealing"]), _of_any(SAMPLERS["diverse"]), _alone),
        Recipe(
            "evolutionary",
            _unshared(EXPLORERS["evolutionary"]),
            _of_any(SAMPLERS["greedy"]),
            _alone,
        ),
        Recipe("random", _unshared(EXPLORERS["random"]), _of_any(SAMPLERS["take-all"]), _alone),
    )
}


def paired(explorer: str, sampler: str) -> Recipe:
    """Build a recipe of an explorer and a sampler in the paper's form.

    Recipes of this kind differ only in these two parts. They share the first batch, the plan of 64
    and the cost model, which uses no records of other tasks. The paper's evaluation is the 2x2 of
    `annealing`, `ppo` and `greedy`, `adaptive`.

    Raises:
        UsageError: There is no explorer or sampler of that name.
    """
    choose = _named("sampler", sampler, SAMPLERS)
    return Recipe(
        f"{explorer}{PAIRED}{sampler}",
        _unshared(_named("explorer", explorer, EXPLORERS)),
        _of_any(lambda: AfterOpening(choose())),
        _alone,
    )


def resolve_recipe(name: str, explorer: str | None = None, sampler: str | None = None) -> Recipe:
    """Return a recipe by its name and replace some of its parts.

    Args:
        name: The name of a recipe, or a pair such as `annealing+greedy`.
        explorer: The name of the explorer to use instead; None keeps the recipe's.
        sampler: The name of the sampler to use instead; None keeps the recipe's.

    Returns:
        The recipe, whose name shows the replaced parts.

    Raises:
        UsageError: There is no recipe, explorer or sampler of that name.
    """
    recipe = paired(*name.split(PAIRED, 1)) if PAIRED in name else _named("recipe", name, RECIPES)
    if explorer:
        part = _unshared(_named("explorer", explorer, EXPLORERS))
        recipe = replace(recipe, name=f"{recipe.name}+{explorer}", explorer=part)
    if sampler:
        chosen = _of_any(_named("sampler", sampler, SAMPLERS))
        recipe = replace(recipe, name=f"{recipe.name}+{sampler}", sampler=chosen)
    return recipe


def task_search(task: Task, recipe: Recipe, seed: int, shared: SharedRecords) -> TaskSearch:
    """Start the search of one task by a recipe.

    Each task has its own generator, so that its draws do not depend on the other tasks.

    Args:
        task: The task to search.
        recipe: The parts of the search.
        seed: The seed of the run; the task's generator depends on it and on the task's key.
        shared: The records that the network's tasks share.

    Returns:
        The state of the search, with an empty history.
    """
    return TaskSearch(
        History(task.space),
        recipe.surrogate(task, shared),
        recipe.explorer(shared),
        recipe.sampler(task),
        np.random.default_rng([seed, zlib.crc32(task.key.encode())]),
    )


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name in known:
        return known[name]
    raise UsageError(f"unknown {kind} {name!r}; {hint(name, known)}known: {', '.join(known)}")
