"""After the search: winners named, libraries built and compared, everything summed up."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chameleon_tuner.errors import LibraryError
from chameleon_tuner.history import History
from chameleon_tuner.machine import cpu_name
from chameleon_tuner.measure.local import LocalMeasurer
from chameleon_tuner.measure.outcome import Failed, Status
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.measure.worker import Request
from chameleon_tuner.records import Environment
from chameleon_tuner.result import Result, TaskResult
from chameleon_tuner.space import Choice, Configuration, DesignSpace, Tile
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task
from chameleon_tuner.winners import FINALISTS, TOLERANCE, Verdict, decide

if TYPE_CHECKING:
    from chameleon_tuner.tvm.compare import Comparison
    from chameleon_tuner.tvm.prepare import Network

_ROUNDS, _ROUND_SECS = 5, 0.02
_COMPARE_TIMEOUT_SECS = 900.0
_PACKAGES = ("chameleon-tuner", "apache-tvm", "apache-tvm-ffi", "torch", "xgboost-cpu", "numpy")


def record_environment(network: Network) -> Environment:
    """Where the timings of a run are comparable."""
    versions = {name: metadata.version(name) for name in ("apache-tvm", "apache-tvm-ffi")}
    return Environment(_target_text(network), cpu_name(), network.threads, versions)


def _target_text(network: Network) -> str:
    return json.dumps(dict(network.tasks[0].target) if network.tasks else {}, sort_keys=True)


def judge(measurer: LocalMeasurer, task: Task, history: History) -> Verdict:
    """Compare the fastest candidates of a task with its untuned kernel; see `decide`."""
    ran = [outcome for outcome in history.outcomes if outcome.status is Status.OK]
    ran.sort(key=lambda outcome: outcome.seconds)
    finalists = [outcome.configuration for outcome in ran[:FINALISTS]]
    try:
        judged = measurer.judge(task, finalists, _ROUNDS, _ROUND_SECS, TOLERANCE)
        return decide(finalists, judged)
    except Failed as failure:
        reason = f"the final comparison failed ({failure.status.value}): {failure}"
        return Verdict(None, math.inf, math.inf, (reason,))


@dataclass(frozen=True)
class Deployed:
    """What is in the folder, and what it is worth.

    Attributes:
        verdicts: by key of the task.
        comparison: of the tuned model with the others.
        verified: whether its outputs agree with all others'.
    """

    verdicts: Mapping[str, Verdict]
    comparison: Comparison
    verified: bool


def deploy(
    network: Network,
    verdicts: Mapping[str, Verdict],
    folder: Path,
    pool: WorkerPool,
    clock: Stopwatch,
) -> Deployed:
    """Build the tuned library and compare it with the untuned one, and with onnxruntime.

    A tuned model that computes something else is not deployed: the folder then holds the
    untuned kernels, and the result says that nothing was verified.
    """
    winners = {
        key: (verdict.winner, verdict.best_secs)
        for key, verdict in verdicts.items()
        if verdict.winner is not None
    }
    comparison = _build_and_compare(network, winners, folder, pool, clock)
    if _agrees(comparison):
        return Deployed(verdicts, comparison, True)
    dropped = {
        key: Verdict(None, v.untuned_secs, v.untuned_secs, (*v.refused, "the whole model differs"))
        for key, v in verdicts.items()
    }
    comparison = _build_and_compare(network, {}, folder, pool, clock)
    return Deployed(dropped, comparison, _agrees(comparison))


def _agrees(comparison: Comparison) -> bool:
    return all(error <= TOLERANCE for error in comparison.errors.values())


def _build_and_compare(
    network: Network,
    winners: Mapping[str, tuple[Configuration, float]],
    folder: Path,
    pool: WorkerPool,
    clock: Stopwatch,
) -> Comparison:
    from chameleon_tuner.tvm.build import UNTUNED, build_libraries
    from chameleon_tuner.tvm.deploy import LIBRARY

    with clock.timing("build"):
        build_libraries(network, winners, folder)
    onnx = network.program.onnx_path
    arguments = (
        str(folder / LIBRARY),
        str(folder / UNTUNED),
        str(onnx) if onnx else None,
        network.threads,
    )
    with clock.timing("run"):
        pool.replenish()
        request = Request("compare", arguments, _COMPARE_TIMEOUT_SECS)
        try:
            comparison: Comparison = pool.call(pool.workers[0], request)
        except Failed as failure:
            raise LibraryError(f"the tuned library does not run: {failure}") from None
    for leftover in folder.glob(f"{Path(UNTUNED).stem}.*"):
        leftover.unlink()
    return comparison


def summarize(
    network: Network,
    histories: Mapping[str, History],
    deployed: Deployed,
    folder: Path,
    recipe: str,
    seed: int,
    clock: Stopwatch,
) -> Result:
    """All numbers of a run."""
    tasks = [_task_result(t, histories[t.key], deployed.verdicts[t.key]) for t in network.tasks]
    latency = {k: v * 1e3 for k, v in deployed.comparison.latency_secs.items()}
    return Result(
        model=network.program.name,
        target=dict(network.tasks[0].target) if network.tasks else {},
        recipe=recipe,
        seed=seed,
        threads=network.threads,
        versions=_versions(),
        trials=_trials(histories),
        seconds={key: round(value, 3) for key, value in clock.seconds().items()},
        latency_ms=latency,
        verified=deployed.verified,
        errors=dict(deployed.comparison.errors),
        tasks=tasks,
        folder=folder,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _trials(histories: Mapping[str, History]) -> dict[str, Any]:
    counts = Counter(o.status for history in histories.values() for o in history.outcomes)
    failed = {s.value: n for s, n in counts.items() if s not in (Status.OK, Status.CENSORED)}
    return {
        "attempted": sum(counts.values()),
        "measured": counts[Status.OK],
        "censored": counts[Status.CENSORED],
        "failed": failed,
    }


def _task_result(task: Task, history: History, verdict: Verdict) -> TaskResult:
    winner = verdict.winner
    return TaskResult(
        name=task.name,
        weight=task.weight,
        flops=task.flops,
        untuned_us=verdict.untuned_secs * 1e6,
        best_us=verdict.best_secs * 1e6,
        trials=len(history),
        configuration=winner.to_json() if winner else None,
        decisions=readable(task.space, winner) if winner else None,
        refused=verdict.refused,
    )


def readable(space: DesignSpace, configuration: Configuration) -> list[Any]:
    """The decisions of a configuration: factors of tiles, values of choices and locations."""
    knobs = space.sketches[configuration.sketch].knobs
    decisions: list[Any] = []
    for knob, index in zip(knobs, configuration.indices, strict=True):
        if isinstance(knob, Tile):
            decisions.append(list(knob.value_at(index)))
        else:
            value = knob.values[index]
            decisions.append(int(value) if isinstance(knob, Choice) else value)
    return decisions
