"""The import of a model tried in a worker, before this process does it."""

from __future__ import annotations

from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.ports.backend import Rehearsal
from chameleon_tuner.ports.handler import Failed

_TIMEOUT_SECS = 300.0


def rehearse(rehearsal: Rehearsal, pool: WorkerPool[object]) -> None:
    """Try an import until it neither fails nor ends its process.

    Args:
        rehearsal: The import, which is told what came of every try.
        pool: Its workers are replaced before every try, and afterwards.

    Raises:
        ModelError: The model cannot be imported.
    """
    while (request := rehearsal.request()) is not None:
        with pool.lent(1, WorkerLimits.of_one()) as [worker]:
            try:
                answer = pool.call(worker, request, _TIMEOUT_SECS)
            except Failed as failure:
                rehearsal.failed(failure)
            else:
                rehearsal.answered(answer)
