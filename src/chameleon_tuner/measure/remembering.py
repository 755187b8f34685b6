"""Records in front of the hardware: what was measured before is never measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chameleon_tuner.measure.base import Measurer
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.records import Environment, Memory, RecordStore, Workload
from chameleon_tuner.space import Configuration
from chameleon_tuner.task import Task


class Remembering:
    """Answers from the records where it can; measures the rest and stores it, batch by batch.

    A search that is run again from its start gets the recorded outcomes as far as they reach and
    goes on with the hardware from there: the same seed proposes the same candidates.

    Args:
        measurer: measures what is not known.
        store: receives every batch in one transaction.
        run_id: the run that measures.
        environment: where the measurer's timings are comparable.
    """

    def __init__(
        self, measurer: Measurer, store: RecordStore, run_id: int, environment: Environment
    ) -> None:
        self._measurer, self._store = measurer, store
        self._run_id, self._environment = run_id, environment
        self._memories: dict[str, Memory] = {}

    def known(self, task: Task, structural_hash: str) -> Outcome | None:
        """The outcome of a module of a task that was measured before."""
        return self._memory(task).recall_module(structural_hash)

    def measure(
        self, task: Task, configurations: Sequence[Configuration], incumbent_secs: float
    ) -> list[Outcome]:
        """See `Measurer.measure`."""
        memory = self._memory(task)
        answers = {c: memory.recall(c) for c in configurations}
        unknown = [c for c, answer in answers.items() if answer is None]
        if unknown:
            measured = self._measurer.measure(task, unknown, incumbent_secs)
            workload = self._workload(task)
            mine = _without_repeats(measured, memory)
            stored = self._store.append(self._run_id, workload, self._environment, mine)
            memory.remember(stored)
            answers.update({outcome.proposed: outcome for outcome in stored})
        found = [answers[c] for c in configurations]
        return [outcome for outcome in found if outcome is not None]

    def _memory(self, task: Task) -> Memory:
        if task.key not in self._memories:
            workload = self._workload(task)
            self._memories[task.key] = self._store.lookup(workload, self._environment)
        return self._memories[task.key]

    @staticmethod
    def _workload(task: Task) -> Workload:
        return Workload(task.key, task.name, task.module)


def _without_repeats(outcomes: Sequence[Outcome], memory: Memory) -> list[Outcome]:
    """Take the samples off outcomes that only repeat what is known of their module."""
    seen: set[str] = set()
    result = []
    for outcome in outcomes:
        repeats = outcome.identity in seen or memory.recall_module(outcome.structural_hash)
        seen.add(outcome.identity)
        result.append(replace(outcome, samples=()) if repeats else outcome)
    return result
