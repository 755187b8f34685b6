"""Recipes: named compositions of explorer, sampler, cost model and batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.cost.building import BuildCost
from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.cost.surrogate import TreeSurrogate
from chameleon_tuner.errors import UsageError
from chameleon_tuner.explore.annealing import AnnealingExplorer
from chameleon_tuner.explore.base import Explorer
from chameleon_tuner.explore.descent import DescentExplorer
from chameleon_tuner.explore.elites import ElitesExplorer
from chameleon_tuner.explore.evolutionary import EvolutionaryExplorer, EvolutionConfig
from chameleon_tuner.explore.mixed import MixedExplorer
from chameleon_tuner.explore.random import RandomExplorer
from chameleon_tuner.explore.twins import WithTwins
from chameleon_tuner.history import History
from chameleon_tuner.loop import TaskSearch
from chameleon_tuner.names import hint
from chameleon_tuner.sample.adaptive import AdaptiveSampler
from chameleon_tuner.sample.base import Sampler
from chameleon_tuner.sample.curiosity import Curiosity
from chameleon_tuner.sample.diverse import DiverseSampler
from chameleon_tuner.sample.greedy import GreedySampler
from chameleon_tuner.sample.opening import AfterOpening
from chameleon_tuner.sample.spread import SpreadSampler
from chameleon_tuner.sample.take_all import TakeAllSampler
from chameleon_tuner.task import Task

T = TypeVar("T")

PAIRED = "+"
"""Between an explorer and a sampler: `annealing+greedy` is a recipe of nothing but these."""


@dataclass(frozen=True)
class Recipe:
    """How a task is searched.

    Attributes:
        name: of the recipe; parts that were overridden are named behind it.
        explorer: makes an explorer for one task, given what all tasks of the network share.
        sampler: chooses what is measured.
        surrogate: makes the cost model of one task, given what all tasks of the network share.
        batch: the plan: most candidates measured at once.
    """

    name: str
    explorer: Callable[[SharedRecords], Explorer]
    sampler: Callable[[], Sampler]
    surrogate: Callable[[Task, SharedRecords], Surrogate]
    batch: int = 64


def _alone(task: Task, shared: SharedRecords) -> Surrogate:
    """A model that knows nothing of other tasks, as in AutoTVM and the paper."""
    return TreeSurrogate(task.space)


def _cold(task: Task, shared: SharedRecords) -> Surrogate:
    return TreeSurrogate(task.space, shared=shared)


def _informed(task: Task, shared: SharedRecords) -> Surrogate:
    from chameleon_tuner.cost import prior  # loads XGBoost

    known = prior.shipped(task.space.feature_names, task.vector_bits)
    building = BuildCost(task.space, known.building if known else None)
    return TreeSurrogate(task.space, shared=shared, prior=known, building=building)


def _mixed() -> Explorer:
    return MixedExplorer([EvolutionaryExplorer(), DescentExplorer()])


def _islands(shared: SharedRecords) -> Explorer:
    islands = EvolutionaryExplorer(EvolutionConfig(islands=True))
    return WithTwins(MixedExplorer([islands, DescentExplorer(), ElitesExplorer()]), shared)


def _curious() -> Sampler:
    """Replayed finals are 1% faster with beta 2 than with 1 (docs/evaluation.md)."""
    return SpreadSampler(beta=2.0, of_each=0.125, curiosity=Curiosity())


def _ppo() -> Explorer:
    from chameleon_tuner.explore.ppo import PPOExplorer  # PyTorch: a second to import

    return PPOExplorer()


def _ppo_paper() -> Explorer:
    from chameleon_tuner.explore.ppo import PAPER, PPOExplorer

    return PPOExplorer(PAPER)


def _unshared(explorer: Callable[[], Explorer]) -> Callable[[SharedRecords], Explorer]:
    """One that looks at its own task alone."""
    return lambda shared: explorer()


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
            "chameleon-cold", _unshared(EXPLORERS["mixed"]), SAMPLERS["spread"], _cold, batch=16
        ),
        Recipe("chameleon-paper", _unshared(EXPLORERS["ppo-paper"]), SAMPLERS["adaptive"], _alone),
        Recipe("autotvm", _unshared(EXPLORERS["annealing"]), SAMPLERS["diverse"], _alone),
        Recipe("evolutionary", _unshared(EXPLORERS["evolutionary"]), SAMPLERS["greedy"], _alone),
        Recipe("random", _unshared(EXPLORERS["random"]), SAMPLERS["take-all"], _alone),
    )
}


def paired(explorer: str, sampler: str) -> Recipe:
    """A recipe of an explorer and a sampler in the paper's form.

    Recipes of this kind differ in nothing else: they share the first batch, the plan of 64 and
    the cost model, which knows nothing of other tasks. The paper's evaluation is the 2x2 of
    `annealing`, `ppo` and `greedy`, `adaptive`.

    Raises:
        UsageError: there is no explorer or sampler of that name.
    """
    choose = _named("sampler", sampler, SAMPLERS)
    return Recipe(
        f"{explorer}{PAIRED}{sampler}",
        _unshared(_named("explorer", explorer, EXPLORERS)),
        lambda: AfterOpening(choose()),
        _alone,
    )


def resolve_recipe(name: str, explorer: str | None = None, sampler: str | None = None) -> Recipe:
    """A recipe by name, or a pair such as `annealing+greedy`, with parts of it replaced.

    Raises:
        UsageError: there is no recipe, explorer or sampler of that name.
    """
    recipe = paired(*name.split(PAIRED, 1)) if PAIRED in name else _named("recipe", name, RECIPES)
    if explorer:
        part = _unshared(_named("explorer", explorer, EXPLORERS))
        recipe = replace(recipe, name=f"{recipe.name}+{explorer}", explorer=part)
    if sampler:
        chosen = _named("sampler", sampler, SAMPLERS)
        recipe = replace(recipe, name=f"{recipe.name}+{sampler}", sampler=chosen)
    return recipe


def task_search(task: Task, recipe: Recipe, seed: int, shared: SharedRecords) -> TaskSearch:
    """A recipe's search of one task.

    Own generators: what one task draws does not depend on the others.
    """
    return TaskSearch(
        History(task.space),
        recipe.surrogate(task, shared),
        recipe.explorer(shared),
        recipe.sampler(),
        np.random.default_rng([seed, zlib.crc32(task.key.encode())]),
    )


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name in known:
        return known[name]
    raise UsageError(f"unknown {kind} {name!r}; {hint(name, known)}known: {', '.join(known)}")
