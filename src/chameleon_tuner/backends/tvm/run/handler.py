"""The handler of the TVM backend's workers: its parts put together."""

from __future__ import annotations

from chameleon_tuner.backends.tvm.rewrites.base import loaded
from chameleon_tuner.backends.tvm.run.candidates import Candidates, NeutralTimer
from chameleon_tuner.backends.tvm.run.finals import CompiledFinalists, Finals
from chameleon_tuner.backends.tvm.run.models import Models
from chameleon_tuner.backends.tvm.run.workbench import Workbench
from chameleon_tuner.ports.handler import (
    CandidateHandler,
    FinalHandler,
    ModelHandler,
    NeutralHandler,
    TaskHandler,
)

list(loaded())  # registers their schedule rules, once for all workers that are forked


class TVMHandler:
    """Everything that a worker of the TVM backend does; implements `ports.handler.Handler`."""

    tasks: TaskHandler
    candidates: CandidateHandler
    finals: FinalHandler
    neutral: NeutralHandler
    models: ModelHandler

    def __init__(self) -> None:
        bench = Workbench()
        self.tasks = bench
        self.candidates = Candidates(bench)
        self.finals = Finals(bench, CompiledFinalists(bench))
        self.neutral = NeutralTimer(bench)
        self.models = Models()
