"""How many evaluations a search of a program needs, beside trying every configuration.

    python benchmarks/program.py measure examples/matmul/matmul.toml --out FOLDER
    python benchmarks/program.py replay FOLDER/recording.jsonl.gz --seeds 20

The first command measures every configuration on this machine; interrupt it as you like. The second
one replays searches on what was measured, so that noise does not decide. It prints, for each
recipe, how many evaluations the median and the worst of the seeds need until their best is within
2% of the best of all, and how many seeds are there after a tenth of all evaluations.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from chameleon_tuner.app.program.tune import POLICY
from chameleon_tuner.backends.program.handler import HANDLER, MakeReference
from chameleon_tuner.backends.program.learned import Places
from chameleon_tuner.backends.program.project import ProgramProject
from chameleon_tuner.backends.program.reading import read_spec
from chameleon_tuner.bench.recording import Recording, read_recordings, write_recordings
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.measure.local.limits import Timeouts, loading
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.remembering import Remembering
from chameleon_tuner.measure.replay import ReplayMeasurer, replayed
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.ports.records import RunInfo
from chameleon_tuner.records import RecordStore
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.loop import TaskSearch, search
from chameleon_tuner.search.recipes import resolve_recipe, task_search
from chameleon_tuner.search.schedule import Budget, GradientScheduler, ScheduleParameters
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import usable_cores

NEAR, TENTH = 1.02, 0.1
CHUNK = 32
RECIPES = "chameleon,chameleon-cold,evolutionary,autotvm,random"


def measure(spec: Path, out: Path) -> None:
    """Measure every configuration, and write the recording."""
    out.mkdir(parents=True, exist_ok=True)
    project, cores = ProgramProject(read_spec(spec)), usable_cores()
    reference = out.resolve() / "reference"
    places = Places(str(project.spec.folder), str(out.resolve() / "candidates"), str(reference))
    task, outcomes = project.task(places), list[Outcome]()
    with WorkerPool(HANDLER, cores, {}) as pool, RecordStore.open(out / "records.db") as store:
        pool.replenish()
        first = replace(task, key="reference", target=replace(places, reference="").target())
        [worker, *_] = pool.workers
        pool.drive_each([(worker, loading(first, worker, Timeouts()))])
        pool.call(worker, MakeReference("reference", str(reference)), 600.0)
        timeouts = Timeouts(compile=600.0, compile_times=math.inf, run=600.0)
        run_id = store.begin(RunInfo(project.digest, "every", 0, {}))
        local = LocalMeasurer(pool, POLICY, timeouts)
        measurer = Remembering(local, store, run_id, project.environment)
        sketch = task.space.sketches[0]
        rows = np.concatenate([np.zeros((sketch.count, 1), np.int32), sketch.every()], axis=1)
        rows = np.random.default_rng(0).permutation(rows)  # a slow minute meets them by chance
        for begin in range(0, len(rows), CHUNK):
            some = task.space.configurations(rows[begin : begin + CHUNK])
            [measured] = measurer.measure([Batch(task, some, math.inf)])
            outcomes += measured
            print(f"{len(outcomes)}/{len(rows)}", flush=True)
    plain = replace(task, module="", target={"kind": "program"})
    figures = tuple(
        replayed(o.proposed, o.status, float(f"{o.seconds:.6g}"), o.build_secs, o.run_secs)
        for o in sorted(outcomes, key=lambda outcome: outcome.proposed)
    )
    machine, versions = project.environment.device, project.environment.versions
    recording = Recording(plain, figures, machine, cores, dict(versions))
    write_recordings(out / "recording.jsonl.gz", [recording])


def replay(path: Path, recipes: Sequence[str], seeds: int, batch: int) -> None:
    """Search the recording with every recipe, and print how soon the searches are near the best."""
    [recording] = read_recordings([path])
    if not recording.complete:
        raise SystemExit(f"{path} has not every configuration")
    count = len(recording.outcomes)
    best = min(outcome.seconds for outcome in recording.outcomes)
    within = sum(outcome.seconds <= NEAR * best for outcome in recording.outcomes)
    budget = int(TENTH * count)
    print(f"{recording.task.name}: {count} configurations, {within} within 2% of the best")
    print(f"{'recipe':<16}{'median':>8}{'worst':>8}  seeds within 2% after {budget}")
    for recipe in recipes:
        needed = [_needed(recording, recipe, seed, NEAR * best, batch) for seed in range(seeds)]
        there = sum(number <= budget for number in needed)
        print(f"{recipe:<16}{statistics.median(needed):>8g}{max(needed):>8g}  {there} of {seeds}")


class _FoundError(Exception):
    """A search that has found what was asked for, and after how many evaluations."""


class _UntilFound:
    """A replay that ends the search when a configuration is as fast as asked for."""

    def __init__(self, recording: Recording, secs: float) -> None:
        self._replay, self._secs, self._count = ReplayMeasurer(recording), secs, 0

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        measured = self._replay.measure(batches)
        for outcome in (outcome for outcomes in measured for outcome in outcomes):
            self._count += 1
            if outcome.seconds <= self._secs:
                raise _FoundError(self._count)
        return measured


class _Nobody:
    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """Do nothing."""


def _needed(recording: Recording, recipe: str, seed: int, secs: float, batch: int) -> float:
    """Return the number of evaluations until one is as fast as asked for."""
    task = recording.task
    searched = task_search(task, resolve_recipe(recipe), seed, SharedRecords())
    never = ScheduleParameters(patience=task.space.count)  # it goes on until it has found it
    scheduler = GradientScheduler([task], Budget(task.space.count), batch, never)
    measurer = _UntilFound(recording, secs)
    try:
        search(scheduler, {task.key: searched}, measurer, _Nobody(), Stopwatch())
    except _FoundError as found:
        return float(found.args[0])
    return math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("spec", type=Path)
    measuring.add_argument("--out", type=Path, required=True)
    replaying = commands.add_parser("replay")
    replaying.add_argument("recording", type=Path)
    replaying.add_argument("--recipes", default=RECIPES)
    replaying.add_argument("--seeds", type=int, default=20)
    replaying.add_argument("--batch", type=int, default=16)
    chosen = parser.parse_args()
    if chosen.command == "measure":
        measure(chosen.spec, chosen.out)
    else:
        replay(chosen.recording, chosen.recipes.split(","), chosen.seeds, chosen.batch)


if __name__ == "__main__":
    main()
