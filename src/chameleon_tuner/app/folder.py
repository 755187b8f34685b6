"""The folder of a run: checked before anything is written, and its records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chameleon_tuner.app.judge import Judgement
from chameleon_tuner.app.sharing import Known
from chameleon_tuner.core.errors import OutputError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.handler import UNTUNED, Comparison, Failed
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.ports.records import (
    FINAL,
    SEARCH,
    Environment,
    Records,
    StoredTiming,
    Workload,
)
from chameleon_tuner.records import RecordStore
from chameleon_tuner.search.history import History
from chameleon_tuner.system.files import RECORDS, require_file


def check_folder(
    folder: Path, digest: str, other: str = "a different model (or of other shapes)"
) -> None:
    """Check that a run of a model may write into a folder; nothing is changed.

    Args:
        folder: The output folder, which need not exist yet.
        digest: Digest of the model, see `backends.tvm.frontend.program.Program`.
        other: What it is whose digest is another one.

    Raises:
        OutputError: The folder holds the run of another model, or files that are no run.
        RecordsError: The records in the folder cannot be read.
    """
    if not folder.exists():
        return
    records = folder / RECORDS
    if records.exists() and records.stat().st_size:
        with RecordStore.open(records, upgrade=False) as store:
            others = [run for run in store.runs() if run.info.model != digest]
        if others:
            raise OutputError(f"{folder} holds the run of {other}; give another --out")
    elif any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and holds no run; give another --out")


def check_places(model: Any, folder: Path) -> None:
    """Check the paths of the model and of the output folder before anything is loaded.

    Args:
        model: The model, or the path of its file.
        folder: The output folder, which need not exist yet.

    Raises:
        ModelError: The model is a path without a file.
        OutputError: The folder is a file.
    """
    if isinstance(model, str | Path):
        require_file(model)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give --out a folder")


@dataclass(frozen=True)
class RunRecords:
    """The records that a run writes to.

    Attributes:
        store: The store.
        run_id: Id of the run.
        environment: Where the run measures.
        known: What is known before the search.
        share: Adds what was measured to the store of all runs; does not raise.
    """

    store: Records
    run_id: int
    environment: Environment
    known: Known = field(default_factory=Known)
    share: Callable[[], None] = lambda: None

    def add_final(self, judgement: Judgement, histories: Mapping[str, History]) -> None:
        """Record every timing of a final comparison, of the untuned kernel too.

        Args:
            judgement: The comparison.
            histories: What was measured before, by key of the task.
        """
        if isinstance(judgement.judged, Failed):
            return
        untuned, *others = judgement.judged
        self._add(StoredTiming(judgement.final.task.key, UNTUNED, FINAL, untuned.samples))
        for finalist, timed in zip(judgement.final.finalists, others, strict=True):
            if timed.samples:
                workload, module = Workload.of(finalist.task), _module(finalist, histories)
                self.store.add_samples(workload, self.environment, module, FINAL, timed.samples)

    def add_defaults(self, defaults: Mapping[str, float]) -> None:
        """Record the seconds of kernels with their default schedules, by key of the kernel."""
        for key, secs in defaults.items():
            self._add(StoredTiming(key, UNTUNED, SEARCH, (secs,)))

    def defaults(self) -> dict[str, float]:
        """Return the seconds of default schedules that an interrupted run has recorded."""
        return {
            timing.workload: timing.seconds[0]
            for timing in self.store.timings(self.run_id)
            if timing.workload is not None and timing.purpose == SEARCH
        }

    def add_comparison(self, comparison: Comparison) -> None:
        """Record every timing of a comparison of whole models."""
        for name, samples in comparison.samples.items():
            self._add(StoredTiming(None, name, FINAL, tuple(samples)))

    def _add(self, timing: StoredTiming) -> None:
        if timing.seconds:
            self.store.add_timing(self.run_id, self.environment, timing)


def _module(finalist: Finalist, histories: Mapping[str, History]) -> str:
    """Return the structural hash of a finalist, which ran before."""
    outcomes = histories[finalist.task.key].outcomes
    ran = (o for o in outcomes if o.status is Status.OK)
    return next(o.structural_hash for o in ran if o.configuration == finalist.configuration)
