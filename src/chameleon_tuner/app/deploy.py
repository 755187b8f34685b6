"""After the search: a library built, compared as a whole model, and kept only if it is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chameleon_tuner.app.contest import compared
from chameleon_tuner.app.judge import Verdict
from chameleon_tuner.app.rehearsing import rehearse
from chameleon_tuner.core.agreement import TOLERANCE
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.backend import Project, Winner
from chameleon_tuner.ports.handler import TUNED, Comparison, HasModels
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.system.clock import Stopwatch


@dataclass(frozen=True)
class Decision:
    """What runs one variant of the model's shapes, and how fast it is.

    Attributes:
        shapes: The shapes, for people.
        comparison: The tuned model beside the others.
        deployed: Name of the contestant that is in the folder.
        reason: Why the tuned model is not; empty if it is.
    """

    shapes: str
    comparison: Comparison
    deployed: str
    reason: str

    @property
    def verified(self) -> bool:
        """Whether the outputs of what is deployed agree with all others'."""
        if self.deployed != TUNED:
            return True  # it is what the others are compared with
        return bool(self.comparison.errors) and not _wrong(self.comparison)


@dataclass(frozen=True)
class Deployment:
    """What is in the folder, and how fast it is.

    Attributes:
        verdicts: Verdicts by key of the kernel; they are the tuned model's, deployed or not.
        decisions: What runs every variant of the model's shapes.
        mended: The project without what computes something else, which has to be deployed instead.
    """

    verdicts: Mapping[str, Verdict]
    decisions: Sequence[Decision]
    mended: Project | None = None


@dataclass(frozen=True)
class Deployer:
    """Builds, compares and decides.

    Attributes:
        project: What was tuned.
        folder: An existing folder.
        pool: Workers whose handler runs models.
        clock: Counts where the time goes.
        record: Is called with every comparison as soon as it was made.
    """

    project: Project
    folder: Path
    pool: WorkerPool[HasModels]
    clock: Stopwatch
    record: Callable[[Comparison], None] = field(repr=False)

    def deploy(self, verdicts: Mapping[str, Verdict]) -> Deployment:
        """Build the tuned library and compare it with what runs the model without tuning.

        A tuned model that computes something else, or is not faster as a whole, is not deployed:
        the folder then holds what is fastest today, and the result says so. A model that seems not
        faster is timed once more: other work on the machine may be the cause.

        Args:
            verdicts: Verdicts by key of the kernel.

        Returns:
            What is deployed.

        Raises:
            LibraryError: Nothing runs the model.
            OutputError: The folder cannot be written.
        """
        winners = dict(_winners(verdicts))
        with self.clock.timing("build"):
            self.project.build(winners, self.folder)
        decisions = []
        for number, shapes in enumerate(self.project.variants):
            comparison = self._compare(number)
            if TUNED in comparison.samples and not _wrong(comparison) and not _faster(comparison):
                comparison = self._compare(number)
            mended = self._mended(number) if _wrong(comparison) else None
            if mended is not None:
                return Deployment(verdicts, [], mended)
            reason = _why_not(comparison, [winner.finalist for winner in winners.values()])
            deployed = _fastest_other(comparison) if reason else TUNED
            decisions.append(Decision(shapes, comparison, deployed, reason))
        for number, decision in enumerate(decisions):
            if decision.reason:
                self.project.keep(decision.deployed, self.folder, number)
        self.project.drop_rivals(self.folder)
        return Deployment(verdicts, decisions)

    def _mended(self, variant: int) -> Project | None:
        """Find out which operators are wrong, and return the project without them."""
        mending = self.project.mending(variant)
        if mending is None:
            return None
        with self.clock.timing("run"):
            rehearse(mending, self.pool)
        return self.project.mended(mending)

    def _compare(self, variant: int) -> Comparison:
        with self.clock.timing("run"):
            made = compared(self.project.contestants(self.folder, variant), self.pool)
        self.record(made)
        return made


def _winners(verdicts: Mapping[str, Verdict]) -> Iterator[tuple[str, Winner]]:
    for key, verdict in verdicts.items():
        if verdict.winner is not None:
            yield key, Winner(verdict.winner, verdict.best_secs)


def _why_not(comparison: Comparison, winners: Sequence[Finalist]) -> str:
    """Return why a tuned model is not deployed; empty if it is."""
    if TUNED not in comparison.samples:
        return f"the whole tuned model does not run: {comparison.failed[TUNED]}"
    if _wrong(comparison):
        others = sorted({w.task.algorithm.split()[0] for w in winners if w.task.computes})
        advice = f"; tune with {' '.join(f'--without {name}' for name in others)}" if others else ""
        return f"the outputs of the whole tuned model differ{advice}"
    if not _faster(comparison):
        return f"the whole tuned model is not faster than {_fastest_other(comparison)}"
    return ""


def _faster(comparison: Comparison) -> bool:
    latency = comparison.latency_secs
    return all(latency[TUNED] < secs for name, secs in latency.items() if name != TUNED)


def _fastest_other(comparison: Comparison) -> str:
    latency = {k: secs for k, secs in comparison.latency_secs.items() if k != TUNED}
    if not latency:
        failures = "; ".join(f"{name}: {why}" for name, why in comparison.failed.items())
        raise LibraryError(f"nothing runs the model ({failures})")
    return min(latency, key=lambda name: latency[name])


def _wrong(comparison: Comparison) -> bool:
    return not all(error <= TOLERANCE for error in comparison.errors.values())
