"""Searches that begin with the records of similar kernels, and searches that know nothing.

    python benchmarks/warm.py [--seeds 10] [--trials 128]

Replays searches of three convolutions of a ResNet-18 (benchmarks/recordings/resnet18-layers) with
and without the recorded searches of other networks' layers (benchmarks/recordings/prior-512), as a
store would give them: the four nearest in operations, 256 trials of each. The shipped prior of the
cost model, which every search has, learned from these layers too; the three convolutions are not
among them. Prints the best latency after 16, 32, 64 and 128 trials over the best of the recording,
geometric mean over the convolutions and seeds.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from chameleon_tuner.app.progress import Silent
from chameleon_tuner.bench.recording import Recording, read_recordings
from chameleon_tuner.measure.replay import ReplayMeasurer, VirtualClock
from chameleon_tuner.records.sharing import RECORDS_EACH, RELATIVES
from chameleon_tuner.search.cost.base import TargetOptions
from chameleon_tuner.search.cost.shared import Lessons, SharedRecords
from chameleon_tuner.search.explore import composed
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import search
from chameleon_tuner.search.recipes import resolve_recipe, task_search
from chameleon_tuner.search.schedule import Budget, GradientScheduler

HERE = Path(__file__).parent / "recordings"
AFTER = (2, 16, 32, 64, 128)


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
    recording: Recording, relatives: Sequence[History], seed: int, trials: int, first: int
) -> list[float]:
    """Return the best seconds of a replayed search after so many trials."""
    shared, task, clock = SharedRecords(), recording.task, VirtualClock()
    for history in relatives:
        shared.join(Lessons(history, TargetOptions()))
    recipe = replace(resolve_recipe("chameleon"), batch=min(16, first))
    mine = task_search(task, recipe, seed, shared)
    scheduler = GradientScheduler([task], Budget(trials), recipe.batch)
    replay = ReplayMeasurer(recording, "surrogate", clock)
    search(scheduler, {task.key: mine}, replay, Silent(), clock)
    best = np.minimum.accumulate(mine.history.seconds)
    return [float(best[min(count, len(best)) - 1]) for count in AFTER if count <= trials]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    chosen = parser.parse_args()
    targets = read_recordings([HERE / "resnet18-layers.jsonl.gz"])
    paths = sorted((HERE / "prior-512").glob("*.gz"))
    others = [r for path in paths if ".again." not in path.name for r in read_recordings([path])]
    most = composed.MOST_CARRIED
    ways = {"nothing": (False, 0), "records": (True, 0), "records and configurations": (True, most)}
    print(f"{'known before':28}", *(f"{count:>7}" for count in AFTER if count <= chosen.trials))
    for name, (known, carried) in ways.items():
        composed.MOST_CARRIED = carried
        each = []
        for target in targets:
            floor = min(outcome.seconds for outcome in target.outcomes)
            relatives = relatives_of(target, others) if known else []
            for seed in range(chosen.seeds):
                found = best_after(target, relatives, seed, chosen.trials, chosen.batch)
                each.append(np.log(np.array(found) / floor))
        means = np.exp(np.mean(each, axis=0))
        print(f"{name:28}", *(f"{mean:7.3f}" for mean in means), flush=True)


if __name__ == "__main__":
    main()
