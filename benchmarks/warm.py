"""What the records of similar kernels are worth: to a search, and without one.

    python benchmarks/warm.py searches [--seeds 10] [--trials 64]
    python benchmarks/warm.py choices [--recordings prior-256]

`searches` replays three convolutions of a ResNet-18 (benchmarks/recordings/resnet18-layers) with
and without the recorded searches of other networks' layers (benchmarks/recordings/prior-512), as a
store would give them: the nearest in operations, some trials of each. The shipped prior of the cost
model, which every search has, learned from these layers too; the three convolutions are not among
them. Prints the best latency after some trials over the best of the recording, geometric mean over
the convolutions and seeds.

`choices` takes every recorded layer as a kernel of which nothing is known, its family's others as
relatives, and prints how the fastest of one or two candidates compares with the best of the
recording: those of the analytic model, the fastest ones of the nearest relative carried over, and
what the explorer and a cost model that learned from the relatives alone (without the shipped prior,
which knows the layers) put first.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from chameleon_tuner.app.progress import Silent
from chameleon_tuner.bench.recording import Recording, read_recordings
from chameleon_tuner.measure.replay import ReplayMeasurer, VirtualClock
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.records.sharing import RECORDS_EACH, RELATIVES
from chameleon_tuner.search.cost.base import TargetOptions
from chameleon_tuner.search.cost.shared import Lessons, SharedRecords
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.explore import composed
from chameleon_tuner.search.explore.analytic import Core, promising
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import search
from chameleon_tuner.search.recipes import resolve_recipe, task_search
from chameleon_tuner.search.sample.baselines import GreedySampler
from chameleon_tuner.search.schedule import Budget, GradientScheduler
from chameleon_tuner.space import IntArray
from chameleon_tuner.space.carry import carried

HERE = Path(__file__).parent / "recordings"
WORST = 20.0
"""Ratio at which a candidate that does not run, or hardly, counts."""
AFTER = (16, 32, 64, 128)


def relatives_of(target: Recording, others: Sequence[Recording]) -> list[History]:
    """Return the searches of the nearest layers of the target's family."""
    names = target.task.space.feature_names
    family = [other for other in others if other.task.space.feature_names == names]

    def distance(other: Recording) -> float:
        return abs(math.log(other.task.flops / target.task.flops))

    found = []
    for other in heapq.nsmallest(RELATIVES, family, key=distance):
        history = History(other.task.space)
        some = np.random.default_rng(0).permutation(len(other.outcomes))[:RECORDS_EACH]
        history.extend([other.outcomes[number] for number in sorted(some)])
        found.append(history)
    return found


def best_after(
    recording: Recording, relatives: Sequence[History], seed: int, trials: int
) -> list[float]:
    """Return the best seconds of a replayed search after so many trials."""
    shared, task, clock = SharedRecords(), recording.task, VirtualClock()
    for history in relatives:
        shared.join(Lessons(history, TargetOptions()))
    recipe = resolve_recipe("chameleon")
    mine = task_search(task, recipe, seed, shared)
    scheduler = GradientScheduler([task], Budget(trials), recipe.batch)
    replay = ReplayMeasurer(recording, "surrogate", clock)
    search(scheduler, {task.key: mine}, replay, Silent(), clock)
    best = np.minimum.accumulate(mine.history.seconds)
    return [float(best[min(count, len(best)) - 1]) for count in AFTER if count <= trials]


def searches(seeds: int, trials: int) -> None:
    """Print how searches with and without relatives go."""
    targets = read_recordings([HERE / "resnet18-layers.jsonl.gz"])
    others, most = layers("prior-512"), composed.MOST_CARRIED
    ways = {"nothing": (False, 0), "records": (True, 0), "records and configurations": (True, most)}
    print(f"{'known before':28}", *(f"{count:>7}" for count in AFTER if count <= trials))
    for name, (known, count) in ways.items():
        composed.MOST_CARRIED = count
        each = []
        for target in targets:
            floor = min(outcome.seconds for outcome in target.outcomes)
            relatives = relatives_of(target, others) if known else []
            for seed in range(seeds):
                found = best_after(target, relatives, seed, trials)
                each.append(np.log(np.array(found) / floor))
        means = np.exp(np.mean(each, axis=0))
        print(f"{name:28}", *(f"{mean:7.3f}" for mean in means), flush=True)


def layers(name: str) -> list[Recording]:
    paths = sorted((HERE / name).glob("*.gz"))
    return [r for path in paths if ".again." not in path.name for r in read_recordings([path])]


def choices(name: str) -> None:
    """Print how the first candidates of a kernel compare with its best."""
    recorded, found = layers(name), defaultdict[str, list[float]](list)
    for target in recorded:
        relatives = relatives_of(target, [other for other in recorded if other is not target])
        analytic = promising(target.task.space, Core.of(target.task), 2)
        if not relatives or not len(analytic):
            continue
        rows = {"analytic": analytic, "nearest": _nearest(target, relatives)}
        rows["explorer and model"] = _proposed(target, relatives)
        floor = min(outcome.seconds for outcome in target.outcomes)
        for way, chosen in rows.items():
            seconds = _seconds(target, chosen)
            for count in (1, 2):
                ratio = min(seconds[:count], default=math.inf) / floor
                found[f"{way}, {count}"].append(math.log(min(ratio, WORST)))
    for way, logs in found.items():
        print(f"{way:24} {math.exp(np.mean(logs)):.2f}  ({len(logs)} kernels)")


def _nearest(target: Recording, relatives: Sequence[History]) -> IntArray:
    nearest = relatives[0]
    return carried(nearest.ranked()[:2], nearest.space, target.task.space)


def _proposed(target: Recording, relatives: Sequence[History]) -> IntArray:
    shared = SharedRecords()
    for history in relatives:
        shared.join(Lessons(history, TargetOptions()))
    recipe = resolve_recipe("chameleon")
    recipe = replace(recipe, surrogate=lambda task, own: TreeSurrogate(task.space, shared=own))
    mine = task_search(target.task, recipe, 0, shared)
    mine.model.fit(mine.history)
    proposed = mine.explorer.propose(target.task.space, mine.model, mine.history, mine.rng)
    return GreedySampler().select(proposed, mine.history, 2, mine.rng)


def _seconds(target: Recording, rows: IntArray) -> list[float]:
    replay = ReplayMeasurer(target, "surrogate", VirtualClock())
    batch = Batch(target.task, target.task.space.configurations(rows), math.inf)
    return [outcome.seconds for outcome in replay.measure([batch])[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("searches", "choices"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--recordings", default="prior-256")
    chosen = parser.parse_args()
    if chosen.what == "searches":
        searches(chosen.seeds, chosen.trials)
    else:
        choices(chosen.recordings)


if __name__ == "__main__":
    main()
