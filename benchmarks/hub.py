"""Scores recipes on completely measured kernels of the Benchmark Hub, as the community scores.

    python benchmarks/hub.py FILE.json.gz ... --recipes chameleon,random --seeds 20 --out hub/

The files are Kernel Tuner caches or T4 results of the hub
(https://github.com/AutoTuningAssociation/benchmark_hub), which this project neither has nor needs.
Every run goes on to the 95% cutoff of its kernel, or to 220 evaluations if that is more, and is
scored at both. With --most 220 all runs end there; their score at the cutoff is then a lower bound,
for the best so far only improves. Refused and failed candidates count as evaluations. Runs are kept
in --out: the same command goes on where it was interrupted.

A recipe `kernel-tuner:genetic_algorithm` is a strategy of Kernel Tuner in its own simulation mode,
if it is installed (`pip install kernel_tuner`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import multiprocessing
import os
import random
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from chameleon_tuner.bench.compare.searching import Terms, searched
from chameleon_tuner.bench.fair.reading import read_fair
from chameleon_tuner.bench.figures.score import Scale
from chameleon_tuner.bench.recording import Recording
from chameleon_tuner.measure.replay import ReplayMeasurer, VirtualClock
from chameleon_tuner.search.recipes import resolve_recipe
from chameleon_tuner.space import configuration_at, values_at

SHORT = 220
"""Evaluations of a short budget."""

FOREIGN = "kernel-tuner:"
RESAMPLES = 300

Run = tuple[str, str, int, int]
"""The file, the recipe, the seed, and the evaluations."""


@cache
def recorded(path: str) -> tuple[Recording, ReplayMeasurer]:
    recording = read_fair(Path(path))
    return recording, ReplayMeasurer(recording)


def scale_of(recording: Recording) -> Scale:
    seconds = np.sort([outcome.seconds for outcome in recording.outcomes])
    return Scale(seconds[np.isfinite(seconds)])


def run(job: Run) -> list[float]:
    """Return the seconds of every evaluation of a run, in order; infinite for failures."""
    path, recipe, seed, evaluations = job
    threadpool_limits(1)
    recording, measurer = recorded(path)
    if recipe.startswith(FOREIGN):
        return kernel_tuner_run(recording, recipe.removeprefix(FOREIGN), seed, evaluations)
    clock, terms = VirtualClock(), Terms(recipe, seed, evaluations)
    log = searched(
        recording.task, resolve_recipe(recipe), terms, measurer.on(clock), clock, lambda log: None
    )
    return [trial.own_secs for trial in log.trials]


def kernel_tuner_run(
    recording: Recording, strategy: str, seed: int, evaluations: int
) -> list[float]:
    """Run a strategy of Kernel Tuner in its simulation mode, on the recording as its cache."""
    import kernel_tuner

    space = recording.task.space
    names, knobs = space.sketches[0].names, space.sketches[0].knobs
    seconds = {outcome.configuration: outcome.seconds for outcome in recording.outcomes}
    entries = {}
    for configuration, secs in seconds.items():
        values = values_at(space, configuration)
        time = 1e3 * secs if math.isfinite(secs) else "RuntimeFailedConfig"
        costs = dict.fromkeys(
            ("compile_time", "verification_time", "benchmark_time", "framework_time"), 1.0
        )
        more = {"times": [time], "strategy_time": 0, "timestamp": "2026-01-01 00:00:00"}
        key = ",".join(str(values[name]) for name in names)
        entries[key] = {**values, "time": time, **costs, **more}
    content = {
        "device_name": "recorded",
        "kernel_name": "kernel",
        "problem_size": [4096, 4096],
        "tune_params_keys": list(names),
        "tune_params": {n: list(k.values) for n, k in zip(names, knobs, strict=True)},
        "objective": "time",
        "cache": entries,
    }
    known = {tuple(values_at(space, c).values()) for c in seconds}

    def legal(*values: object, **named: object) -> bool:
        """Kernel Tuner calls it by position, by name, and with a dictionary."""
        given = values[0] if values and isinstance(values[0], dict) else named
        return (tuple(given[name] for name in names) if given else values) in known

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that Kernel Tuner uses
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "cache.json"
        path.write_text(json.dumps(content))
        with contextlib.redirect_stdout(io.StringIO()):
            results, _ = kernel_tuner.tune_kernel(
                "kernel",
                "__global__ void kernel(float *a) {}",
                (4096, 4096),
                [np.zeros(4, np.float32)],
                content["tune_params"],
                restrictions=[legal],
                block_size_names=[names[0]],
                cache=str(path),
                simulation_mode=True,
                strategy=strategy,
                strategy_options={"max_fevals": evaluations},
                lang="CUDA",
                verbose=False,
                quiet=True,
            )
    order = [configuration_at(space, {name: r[name] for name in names}) for r in results]
    return [seconds[one] for one in dict.fromkeys(order)][:evaluations]


def measured(jobs: list[Run], out: Path, processes: int) -> dict[Run, np.ndarray]:
    """Return the seconds of all runs; what the folder has is not repeated."""
    out.mkdir(parents=True, exist_ok=True)
    files = {
        job: out / f"{recorded(job[0])[0].task.name}.{job[1].replace(':', '-')}.{job[2]}.json"
        for job in jobs
    }
    missing = [job for job, file in files.items() if not file.exists()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        for number, (job, secs) in enumerate(
            zip(missing, pool.map(run, missing), strict=True), start=1
        ):
            shown = [s if math.isfinite(s) else None for s in secs]
            files[job].write_text(json.dumps(shown))
            print(f"[{number}/{len(missing)}] {files[job].stem}", file=sys.stderr)
    return {
        job: np.array([math.inf if s is None else s for s in json.loads(file.read_text())])
        for job, file in files.items()
    }


def figures(runs: list[np.ndarray], scale: Scale, count: int) -> tuple[float, list[float]]:
    """Return the score after so many evaluations, and bootstrap resamples of it over the seeds."""
    ranks = np.stack([scale.ranks(one, count) for one in runs])
    draws = np.random.default_rng(0).integers(len(runs), size=(RESAMPLES, len(runs)))
    return scale.score(ranks), [scale.score(ranks[draw]) for draw in draws]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--recipes", default="chameleon,random")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, help="evaluations per run, at most")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    scales = {path: scale_of(recorded(path)[0]) for path in given.files}
    lengths = {p: min(max(SHORT, s.cutoff), given.most or sys.maxsize) for p, s in scales.items()}
    recipes = given.recipes.split(",")
    jobs = [
        (path, recipe, seed, lengths[path])
        for seed in range(given.seeds)
        for recipe in recipes
        for path in given.files
    ]
    found = measured(jobs, given.out, given.processes)
    for title, length in (
        (f"{SHORT} evaluations, or the cutoff where it is less", SHORT),
        ("the 95% cutoff", sys.maxsize),
    ):
        print(f"\nScore over {title} (and the share of runs within 1% at its end)")
        for recipe in recipes:
            cells, resampled, shares = [], [], []
            for path, scale in scales.items():
                runs = [secs for job, secs in found.items() if job[:2] == (path, recipe)]
                count = min(length, scale.cutoff)
                end = min(length, lengths[path])
                score, resamples = figures(runs, scale, count)
                share = np.mean([secs[:end].min() <= 1.01 * scale.seconds[0] for secs in runs])
                cells.append(f"{score:5.2f} {share:4.0%} ({count})")
                resampled.append(resamples)
                shares.append((score, share))
            low, high = np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])
            score, share = np.mean(shares, axis=0)
            shown = f"{score:5.2f} [{low:5.2f}, {high:5.2f}] {share:4.0%}"
            print(f"{recipe:34s} {shown} | {' | '.join(cells)}")
    names = ", ".join(recorded(path)[0].task.name for path in given.files)
    print(f"\nmean [95% interval over seeds], then {names}")


if __name__ == "__main__":
    main()
