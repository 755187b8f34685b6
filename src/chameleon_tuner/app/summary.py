"""All numbers of a run, as `summary.json` has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chameleon_tuner.app.deploy import Decision, Deployment
from chameleon_tuner.app.judge import Verdict
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.backend import Project
from chameleon_tuner.ports.handler import TUNED, Comparison
from chameleon_tuner.report.result import PartResult, Result, TaskResult, VariantResult
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, Tile
from chameleon_tuner.space.task import Task, by_kernel
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import versions


def summarize(
    name: str,
    project: Project,
    histories: Mapping[str, History],
    deployment: Deployment,
    folder: Path,
    recipe: str,
    seed: int,
    clock: Stopwatch,
) -> Result:
    """Sum up a run.

    Args:
        name: Name of the model.
        project: What was tuned.
        histories: What was measured, by key of the task.
        deployment: What is deployed.
        folder: The folder of the run.
        recipe: Name of the search recipe.
        seed: Seed of the search.
        clock: The clock of the run.

    Returns:
        The result; nothing is written yet.
    """
    tuned = any(decision.deployed == TUNED for decision in deployment.decisions)
    names = project.kernel_names() if tuned else {}  # otherwise another named the kernels
    tasks = [
        _task_result(mine, histories, deployment.verdicts[key], names.get(key, []))
        for key, mine in by_kernel(project.tasks).items()
    ]
    variants = [_variant(project, n, one) for n, one in enumerate(deployment.decisions)]
    first = variants[0]
    return Result(
        model=name,
        target=dict(project.target) if project.tasks else {},
        recipe=recipe,
        seed=seed,
        threads=project.threads,
        versions=versions(),
        trials=_trials(histories),
        seconds={key: round(value, 3) for key, value in clock.seconds().items()},
        latency_ms=first.latency_ms,
        verified=all(one.verified for one in variants),
        errors=first.errors,
        tasks=tasks,
        deployed=first.deployed,
        reason=first.reason,
        absent={**project.absent, **_absent(deployment.decisions[0].comparison)},
        parts=first.parts,
        variants=variants if len(variants) > 1 else (),
        folder=folder,
    )


def _absent(comparison: Comparison) -> dict[str, str]:
    """Return why rivals took no part; why the tuned model did not is the reason of the result."""
    return {name: why for name, why in comparison.failed.items() if name != TUNED}


def _variant(project: Project, number: int, decision: Decision) -> VariantResult:
    comparison = decision.comparison
    parts = project.parts(number) if decision.deployed == TUNED else {}
    return VariantResult(
        decision.shapes,
        {name: secs * 1e3 for name, secs in comparison.latency_secs.items()},
        decision.deployed,
        decision.reason,
        decision.verified,
        dict(comparison.errors),
        [
            PartResult(name, operators, comparison.shares.get(name, 0.0), reasons)
            for name, (operators, reasons) in parts.items()
        ],
    )


def _trials(histories: Mapping[str, History]) -> dict[str, Any]:
    counts = Counter(o.status for history in histories.values() for o in history.outcomes)
    failed = {s.value: n for s, n in counts.items() if s not in (Status.OK, Status.CENSORED)}
    return {
        "attempted": sum(counts.values()),
        "measured": counts[Status.OK],
        "censored": counts[Status.CENSORED],
        "failed": failed,
    }


def _task_result(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    verdict: Verdict,
    kernels: Sequence[str],
) -> TaskResult:
    task, winner = tasks[0], verdict.winner
    mine = winner.task if winner else task
    return TaskResult(
        name=task.name,
        weight=task.weight,
        flops=task.flops,
        untuned_us=verdict.untuned_secs * 1e6,
        best_us=verdict.best_secs * 1e6,
        trials=sum(len(histories[other.key]) for other in tasks),
        configuration=winner.configuration.to_json() if winner else None,
        decisions=readable(winner.task.space, winner.configuration) if winner else None,
        refused=verdict.refused,
        kernels=kernels,
        algorithm=mine.algorithm,
        workloads=sorted((other.key for other in tasks), key=lambda key: key != mine.key),
    )


def readable(space: DesignSpace, configuration: Configuration) -> list[Any]:
    """Return decisions for people: factors of tiles, values of choices and locations."""
    knobs = space.sketches[configuration.sketch].knobs
    decisions: list[Any] = []
    for knob, index in zip(knobs, configuration.indices, strict=True):
        if isinstance(knob, Tile):
            decisions.append(list(knob.value_at(index)))
        else:
            decisions.append(
                int(knob.values[index]) if isinstance(knob, Choice) else knob.values[index]
            )
    return decisions
