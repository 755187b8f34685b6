"""After the search: libraries built, compared as whole models, and kept only if they are better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chameleon_tuner.app.judge import TOLERANCE, Verdict
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.ports.backend import Project, Winner
from chameleon_tuner.ports.handler import TUNED, UNTUNED, Comparison, Failed, HasModels
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.system.clock import Stopwatch

_COMPARE_TIMEOUT_SECS = 900.0


@dataclass(frozen=True)
class Deployment:
    """What is in the folder, and how fast it is.

    Attributes:
        verdicts: Verdicts by key of the kernel.
        comparison: The deployed model beside the others.
        verified: Whether its outputs agree with all others'.
    """

    verdicts: Mapping[str, Verdict]
    comparison: Comparison
    verified: bool


def deploy(
    project: Project,
    verdicts: Mapping[str, Verdict],
    folder: Path,
    pool: WorkerPool[HasModels],
    clock: Stopwatch,
    record: Callable[[Comparison, bool], None],
) -> Deployment:
    """Build the tuned library and compare it with the untuned one, and with onnxruntime.

    A tuned model that computes something else, or is not faster as a whole, is not deployed: the
    folder then holds what the backend makes of the model without tuning, and the result says so. A
    model that seems not faster is timed once more: other work on the machine may be the cause.

    Args:
        project: What was tuned.
        verdicts: Verdicts by key of the kernel.
        folder: An existing folder.
        pool: Workers whose handler compares models.
        clock: Counts where the time goes.
        record: Is called with every comparison as soon as it was made, and with whether the
            deployed library was the tuned one.

    Returns:
        What is deployed.

    Raises:
        LibraryError: The library does not run.
        OutputError: The folder cannot be written.
    """
    winners = dict(_winners(verdicts))
    with clock.timing("build"):
        project.build(winners, folder)

    def compare(*, tuned: bool = True) -> Comparison:
        made = _compare(project, folder, pool)
        record(made, tuned)
        return made

    with clock.timing("run"):
        comparison = compare()
        if not _faster(comparison):
            comparison = compare()
        reason = _why_not(comparison, [winner.finalist for winner in winners.values()])
        if reason:
            project.keep_untuned(folder)
            comparison = compare(tuned=False)
            verdicts = {key: verdict.dropped(reason) for key, verdict in verdicts.items()}
    project.drop_untuned(folder)
    return Deployment(verdicts, comparison, not _wrong(comparison))


def _winners(verdicts: Mapping[str, Verdict]) -> Iterator[tuple[str, Winner]]:
    for key, verdict in verdicts.items():
        if verdict.winner is not None:
            yield key, Winner(verdict.winner, verdict.best_secs)


def _why_not(comparison: Comparison, winners: Sequence[Finalist]) -> str:
    """Return why a tuned model is not deployed; empty if it is."""
    if _wrong(comparison):
        others = sorted({w.task.algorithm.split()[0] for w in winners if w.task.computes})
        advice = f"; tune with {' '.join(f'--without {name}' for name in others)}" if others else ""
        return f"the outputs of the whole tuned model differ{advice}"
    if not _faster(comparison):
        return "the whole tuned model is not faster"
    return ""


def _faster(comparison: Comparison) -> bool:
    return comparison.latency_secs[TUNED] < comparison.latency_secs[UNTUNED]


def _wrong(comparison: Comparison) -> bool:
    return not all(error <= TOLERANCE for error in comparison.errors.values())


def _compare(project: Project, folder: Path, pool: WorkerPool[HasModels]) -> Comparison:
    """Compare the deployed library with the untuned one."""
    # A worker keeps every library that it loaded, also a refused one of the same name, and
    # whatever candidates did to its memory. One worker holds both models and onnxruntime's copy.
    pool.renew(WorkerLimits.of_one())
    with MachineLock().running():
        try:
            request = project.comparison(folder)
            return pool.call(pool.workers[0], request, _COMPARE_TIMEOUT_SECS)
        except Failed as failure:
            raise LibraryError(f"the tuned library does not run: {failure}") from None
