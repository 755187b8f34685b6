"""Design spaces from worker processes, which have nothing else to do before the search."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chameleon_tuner.core.errors import MeasurementError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.local.limits import Timeouts
from chameleon_tuner.measure.local.pool import Script, WorkerPool, ask
from chameleon_tuner.measure.local.worker import Worker
from chameleon_tuner.ports.handler import DeriveSpace, Failed, HasTasks
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.plain import from_plain

_REFUSED = (Status.REJECTED, Status.OUT_OF_MEMORY)


class LocalDesigner:
    """Derives design spaces on all workers of a pool; implements `ports.backend.Designer`.

    A kernel whose worker dies of it, or takes too long, is one that cannot be tuned.

    Args:
        pool: Workers whose handler derives design spaces.
        timeouts: Limit of each kernel.
    """

    def __init__(self, pool: WorkerPool[HasTasks], timeouts: Timeouts | None = None) -> None:
        self._pool, self._timeouts = pool, timeouts or Timeouts()

    def designs(self, kernels: Iterable[DeriveSpace]) -> list[DesignSpace | None]:
        """See `Designer.designs`."""
        return self._pool.drive(partial(self._design, kernel) for kernel in kernels)

    def _design(
        self, kernel: DeriveSpace, worker: Worker[HasTasks]
    ) -> Script[HasTasks, DesignSpace | None]:
        try:
            design = yield from ask(kernel, self._timeouts.load)
        except Failed as failure:
            if failure.fatal or failure.status in _REFUSED:
                return None
            raise MeasurementError(str(failure)) from None
        worker.tasks.add(kernel.key)
        return from_plain(design)
