"""The numbers of a run, as `summary.json` has them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chameleon_tuner.app.judge import Verdict
from chameleon_tuner.app.program.run import BEST, ProgramRun
from chameleon_tuner.backends.program.running import fill
from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.handler import Timed
from chameleon_tuner.ports.judge import Final
from chameleon_tuner.report.program import Contender, ProgramResult
from chameleon_tuner.search.history import History
from chameleon_tuner.space import values_at
from chameleon_tuner.space.task import Task


def result_of(
    run: ProgramRun,
    task: Task,
    history: History,
    final: Final,
    judged: Sequence[Timed],
    verdict: Verdict,
) -> ProgramResult:
    """Sum up a run.

    Args:
        run: The run.
        task: The task of the program.
        history: What was measured.
        final: The final comparison.
        judged: Its result: the default configuration, then the finalists.
        verdict: Who won.

    Returns:
        The result; nothing is written yet.
    """
    spec = run.spec
    chosen = [values_at(task.space, finalist.configuration) for finalist in final.finalists]
    default, *finalists = [
        Contender(parameters, _median(timed), timed.samples, timed.message)
        for parameters, timed in zip([dict(spec.default), *chosen], judged, strict=True)
    ]
    winner = None if verdict.winner is None else final.finalists.index(verdict.winner)
    best = default if winner is None else finalists[winner]
    commands = fill(spec, best.parameters, str(run.out.resolve() / BEST))
    return ProgramResult(
        program=spec.name,
        default=default,
        finalists=finalists,
        winner=winner,
        checked=_checked(spec),
        commands=commands.shown(),
        recipe=run.recipe.name,
        seed=run.options.seed,
        space=task.space.count,
        trials=_trials(history.outcomes),
        seconds={key: round(value, 3) for key, value in run.clock.seconds().items()},
        environment={
            "device": run.project.environment.device,
            "threads": run.project.environment.threads,
            "versions": dict(run.project.environment.versions),
        },
        folder=run.out,
        reason="" if winner is not None else _why_default(verdict),
    )


def _why_default(verdict: Verdict) -> str:
    return verdict.refused[0] if verdict.refused else "no candidate was faster"


def _checked(spec: Spec) -> str:
    """Return how outputs were checked, for people."""
    check = spec.check
    if not check.wanted:
        return ""
    whose = check.reference or "the default configuration"
    what = "the check command" if check.command else check.output.text
    how = "" if check.tolerance is None else f" within {check.tolerance:g}"
    return f"{what} of every run is that of {whose}{how}"


def _median(timed: Timed) -> float:
    return statistics.median(timed.samples) if timed.samples else math.inf


def _trials(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    counts = Counter(outcome.status for outcome in outcomes)
    failed = {s.value: n for s, n in counts.items() if s not in (Status.OK, Status.CENSORED)}
    return {
        "attempted": sum(counts.values()),
        "measured": counts[Status.OK],
        "censored": counts[Status.CENSORED],
        "failed": failed,
    }
