"""What a worker process is asked, and what it answers.

A request is a frozen dataclass that knows the type of its answer and which method of the handler
gives it, so nothing between the main process and a worker is a string or untyped:

    timing: Timing = pool.call(worker, Run(ticket, incumbent_secs, policy), timeout_secs)

A handler consists of parts. A backend offers those that it is capable of; `Handler` has all.
"""

from __future__ import annotations

import abc
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from chameleon_tuner.core.configuration import Configuration, DeployedKernel
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.measurer import Timing, TimingPolicy

H = TypeVar("H", contravariant=True)
R = TypeVar("R", covariant=True)


class RejectedError(Exception):
    """A configuration that a postprocessor or a limit of the target refuses."""


class Failed(Exception):  # noqa: N818 - the failure of a candidate, not of the program
    """A request to a worker that failed.

    Attributes:
        status: How it ended.
        fatal: Whether the worker died, and with it everything that it held.
    """

    def __init__(self, status: Status, message: str, fatal: bool) -> None:
        super().__init__(message)
        self.status, self.fatal = status, fatal


class Request(abc.ABC, Generic[H, R]):
    """A request to a handler of type H whose answer has type R; it can be pickled.

    Attributes:
        stage: Name of the request in messages.
        failure: Status of a candidate whose request raised an exception.
    """

    stage: ClassVar[str]
    failure: ClassVar[Status] = Status.BUILD_ERROR

    @abc.abstractmethod
    def answered_by(self, handler: H) -> R:
        """Return the handler's answer; whatever this raises is the failure of the request."""


# -- what the parts of a handler answer


class Scheduled(NamedTuple):
    """A candidate that was scheduled.

    Attributes:
        ticket: Names the candidate in further requests to the same worker.
        configuration: The configuration that was read back from the schedule.
        structural_hash: Hash of the scheduled module.
    """

    ticket: int
    configuration: Configuration
    structural_hash: str


@dataclass(frozen=True)
class Timed:
    """A kernel that was timed interleaved with others.

    Attributes:
        samples: Seconds of a call in each round; empty where the kernel failed.
        error: Largest difference from the untuned kernel's output, relative to the output's
            largest magnitude. NaN where an output is not finite or the run for it failed. None
            where outputs were not compared: the kernel could not be timed, a faster kernel is
            right, or only times are wanted.
        message: The cause of a failure; empty without one.
    """

    samples: tuple[float, ...]
    error: float | None
    message: str = ""


TUNED, UNTUNED = "tuned", "untuned"
"""Names of the contestants that every `Comparison` has."""


@dataclass(frozen=True)
class Comparison:
    """An interleaved comparison of whole models.

    Attributes:
        samples: Seconds of a call in each round, by contestant: `tuned`, `untuned` (a single call
            where it is hopelessly slow), and `onnxruntime` where it is installed and the model came
            from ONNX.
        errors: Largest difference of the tuned model's outputs from each other contestant's,
            relative to the largest output.
    """

    samples: Mapping[str, Sequence[float]]
    errors: Mapping[str, float]

    @property
    def latency_secs(self) -> dict[str, float]:
        """Median seconds of a call, by contestant."""
        return {name: statistics.median(secs) for name, secs in self.samples.items()}


# -- the parts of a handler


class TaskHandler(Protocol):
    """Learns the tasks that later requests name by their keys."""

    def load_task(self, key: str, module: str, target: dict[str, Any], design: Any = None) -> None:
        """Learn a task.

        Args:
            key: Key of the task.
            module: The backend's text of the kernel, as in `Task.module`.
            target: The target, as in `Task.target`.
            design: The design space as plain data, see `space.plain`; found anew without it.
        """
        ...


class CandidateHandler(Protocol):
    """Builds and runs candidates of the tasks that it knows."""

    def replay(self, key: str, configuration: Configuration) -> Scheduled:
        """Schedule a candidate of a task.

        Raises:
            RejectedError: The configuration is refused.
        """
        ...

    def compile(self, ticket: int) -> None:
        """Compile and load a scheduled candidate."""
        ...

    def forget(self, ticket: int) -> None:
        """Drop a candidate that will not be compiled or run."""
        ...

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """Time a compiled candidate, and drop it.

        Args:
            ticket: Names the candidate.
            incumbent_secs: Seconds of the fastest candidate so far; infinite without one.
            policy: When the candidate was timed enough.

        Returns:
            The timed runs.
        """
        ...


class FinalHandler(Protocol):
    """Holds one final at a time: `ready`, `contend` with the machine to itself, `judge`."""

    def ready(self, key: str, finalists: Sequence[tuple[str, Configuration]]) -> None:
        """Build all kernels of a final and compute the untuned kernel's outputs.

        Args:
            key: Key of the task whose untuned kernel takes part.
            finalists: Keys of tasks that compute the same, and configurations of theirs.
        """
        ...

    def contend(self, rounds: int, round_secs: float, apart_bytes: int = 0) -> None:
        """Time the kernels interleaved.

        Args:
            rounds: Number of rounds.
            round_secs: Seconds that each kernel runs in a round.
            apart_bytes: See `TimingPolicy.apart_bytes`.
        """
        ...

    def judge(self, tolerance: float = -1.0) -> list[Timed]:
        """Compare outputs with the untuned kernel's, the fastest finalist first; end the final.

        Args:
            tolerance: Outputs are compared until one is within it; below 0 all are compared.

        Returns:
            The untuned kernel, then the finalists in their order.
        """
        ...


class NeutralHandler(Protocol):
    """Times candidates of any tuner side by side."""

    def time(
        self, key: str, kernels: Sequence[DeployedKernel], rounds: int, round_secs: float
    ) -> list[Timed]:
        """Time candidates of one task interleaved, each lowered as its tuner deploys it.

        Args:
            key: Key of the task.
            kernels: The candidates.
            rounds: Number of rounds, which every candidate that can be built gets.
            round_secs: Seconds that each candidate runs in a round.

        Returns:
            One result a candidate, in order; outputs are not compared.
        """
        ...


class ModelHandler(Protocol):
    """Compares whole models."""

    def compare(self, tuned: str, untuned: str, onnx: str | None, threads: int) -> Comparison:
        """Compare the tuned library of a folder with the untuned one, and with onnxruntime.

        Args:
            tuned: Path of the tuned library.
            untuned: Path of the untuned library in the same folder.
            onnx: Path of the ONNX model; None where there is none.
            threads: Number of threads that onnxruntime may use.

        Returns:
            Latencies and differences of the outputs.
        """
        ...


class HasTasks(Protocol):
    """A handler that learns tasks."""

    @property
    def tasks(self) -> TaskHandler:
        """The part that learns tasks."""
        ...


class HasCandidates(HasTasks, Protocol):
    """A handler that measures candidates: what a `LocalMeasurer` needs."""

    @property
    def candidates(self) -> CandidateHandler:
        """The part that builds and runs candidates."""
        ...


class HasFinals(HasTasks, Protocol):
    """A handler that judges finals: what a `LocalJudge` needs."""

    @property
    def finals(self) -> FinalHandler:
        """The part that judges finals."""
        ...


class HasNeutralTimer(HasTasks, Protocol):
    """A handler that times candidates of any tuner."""

    @property
    def neutral(self) -> NeutralHandler:
        """The part that times candidates side by side."""
        ...


class HasModels(Protocol):
    """A handler that compares whole models."""

    @property
    def models(self) -> ModelHandler:
        """The part that compares whole models."""
        ...


class TuningHandler(HasCandidates, HasFinals, HasModels, Protocol):
    """A handler with the parts that tuning a model needs."""


class Handler(TuningHandler, HasNeutralTimer, Protocol):
    """A handler with all parts: what comparisons of tuners need, too."""


# -- requests


@dataclass(frozen=True)
class LoadTask(Request[HasTasks, None]):
    """See `TaskHandler.load_task`."""

    key: str
    module: str
    target: dict[str, Any]
    design: Any = None
    stage: ClassVar[str] = "load_task"

    def answered_by(self, handler: HasTasks) -> None:
        """See `Request.answered_by`."""
        handler.tasks.load_task(self.key, self.module, self.target, self.design)


@dataclass(frozen=True)
class Replay(Request[HasCandidates, Scheduled]):
    """See `CandidateHandler.replay`."""

    key: str
    configuration: Configuration
    stage: ClassVar[str] = "replay"

    def answered_by(self, handler: HasCandidates) -> Scheduled:
        """See `Request.answered_by`."""
        return handler.candidates.replay(self.key, self.configuration)


@dataclass(frozen=True)
class Compile(Request[HasCandidates, None]):
    """See `CandidateHandler.compile`."""

    ticket: int
    stage: ClassVar[str] = "compile"

    def answered_by(self, handler: HasCandidates) -> None:
        """See `Request.answered_by`."""
        handler.candidates.compile(self.ticket)


@dataclass(frozen=True)
class Forget(Request[HasCandidates, None]):
    """See `CandidateHandler.forget`."""

    ticket: int
    stage: ClassVar[str] = "forget"

    def answered_by(self, handler: HasCandidates) -> None:
        """See `Request.answered_by`."""
        handler.candidates.forget(self.ticket)


@dataclass(frozen=True)
class Run(Request[HasCandidates, Timing]):
    """See `CandidateHandler.run`."""

    ticket: int
    incumbent_secs: float
    policy: TimingPolicy
    stage: ClassVar[str] = "run"
    failure: ClassVar[Status] = Status.RUN_ERROR

    def answered_by(self, handler: HasCandidates) -> Timing:
        """See `Request.answered_by`."""
        return handler.candidates.run(self.ticket, self.incumbent_secs, self.policy)


@dataclass(frozen=True)
class Ready(Request[HasFinals, None]):
    """See `FinalHandler.ready`."""

    key: str
    finalists: Sequence[tuple[str, Configuration]]
    stage: ClassVar[str] = "ready"

    def answered_by(self, handler: HasFinals) -> None:
        """See `Request.answered_by`."""
        handler.finals.ready(self.key, self.finalists)


@dataclass(frozen=True)
class Contend(Request[HasFinals, None]):
    """See `FinalHandler.contend`."""

    rounds: int
    round_secs: float
    apart_bytes: int
    stage: ClassVar[str] = "contend"

    def answered_by(self, handler: HasFinals) -> None:
        """See `Request.answered_by`."""
        handler.finals.contend(self.rounds, self.round_secs, self.apart_bytes)


@dataclass(frozen=True)
class JudgeFinal(Request[HasFinals, "list[Timed]"]):
    """See `FinalHandler.judge`."""

    tolerance: float
    stage: ClassVar[str] = "judge"

    def answered_by(self, handler: HasFinals) -> list[Timed]:
        """See `Request.answered_by`."""
        return handler.finals.judge(self.tolerance)


@dataclass(frozen=True)
class TimeKernels(Request[HasNeutralTimer, "list[Timed]"]):
    """See `NeutralHandler.time`."""

    key: str
    kernels: Sequence[DeployedKernel]
    rounds: int
    round_secs: float
    stage: ClassVar[str] = "time"

    def answered_by(self, handler: HasNeutralTimer) -> list[Timed]:
        """See `Request.answered_by`."""
        return handler.neutral.time(self.key, self.kernels, self.rounds, self.round_secs)


@dataclass(frozen=True)
class CompareModels(Request[HasModels, Comparison]):
    """See `ModelHandler.compare`."""

    tuned: str
    untuned: str
    onnx: str | None
    threads: int
    stage: ClassVar[str] = "compare"

    def answered_by(self, handler: HasModels) -> Comparison:
        """See `Request.answered_by`."""
        return handler.models.compare(self.tuned, self.untuned, self.onnx, self.threads)
