"""Records in front of the hardware: what was measured before is never measured again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import DistinctOutcomes, Outcome
from chameleon_tuner.ports.measurer import Batch, Measurer
from chameleon_tuner.ports.records import Environment, Memory, Records, Workload
from chameleon_tuner.space.task import Task


class Remembering:
    """Answers from the records where it can; measures the rest and stores it, batch by batch.

    It implements `ports.measurer.Measurer`. A search that is run again from its start gets the
    recorded outcomes as far as they reach and goes on with the hardware from there, because the
    same seed proposes the same candidates.

    Args:
        measurer: Measures what is not known.
        store: Receives every batch in one transaction.
        run_id: Id of the run that measures.
        environment: Where the measurer's timings are comparable.
    """

    def __init__(
        self, measurer: Measurer, store: Records, run_id: int, environment: Environment
    ) -> None:
        self._measurer, self._store = measurer, store
        self._run_id, self._environment = run_id, environment
        self._memories: dict[str, Memory] = {}

    def known(self, task: Task, structural_hash: str) -> Outcome | None:
        """Return the outcome of a module of a task that was measured before; None without one."""
        return self._memory(task).recall_module(structural_hash)

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`."""
        asked: list[tuple[Batch, dict[Configuration, Outcome]]] = []

        def unknown() -> Iterator[Batch]:
            for batch in batches:
                known = self._recalled(batch)
                asked.append((batch, known))
                yield _without(batch, known)

        measured = self._measurer.measure(unknown())
        for (batch, known), outcomes in zip(asked, measured, strict=True):
            if outcomes:
                stored = self._stored(batch.task, outcomes)
                known.update({outcome.proposed: outcome for outcome in stored})
        return [[known[c] for c in batch.configurations] for batch, known in asked]

    def _recalled(self, batch: Batch) -> dict[Configuration, Outcome]:
        memory = self._memory(batch.task)
        found = ((c, memory.recall(c)) for c in batch.configurations)
        return {c: outcome for c, outcome in found if outcome is not None}

    def _stored(self, task: Task, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Store outcomes and return them as the records have them from now on."""
        memory, workload = self._memory(task), Workload.of(task)
        mine = _without_repeats(outcomes, memory)
        stored = self._store.append(self._run_id, workload, self._environment, mine)
        memory.remember(stored)
        return stored

    def _memory(self, task: Task) -> Memory:
        if task.key not in self._memories:
            workload = Workload.of(task)
            self._memories[task.key] = self._store.lookup(workload, self._environment)
        return self._memories[task.key]


def _without(batch: Batch, known: Collection[Configuration]) -> Batch:
    """Return the configurations of a batch that are not known, each once."""
    unknown = [c for c in dict.fromkeys(batch.configurations) if c not in known]
    return replace(batch, configurations=unknown)


def _without_repeats(outcomes: Sequence[Outcome], memory: Memory) -> list[Outcome]:
    """Drop the samples of outcomes whose module is known already: they were not timed again."""
    distinct = DistinctOutcomes()
    result = []
    for outcome in outcomes:
        fresh = distinct.add([outcome]) and not memory.recall_module(outcome.structural_hash)
        result.append(outcome if fresh else replace(outcome, samples=()))
    return result
