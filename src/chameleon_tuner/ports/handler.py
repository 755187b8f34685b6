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
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from chameleon_tuner.core.configuration import Configuration, DeployedKernel
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.measurer import Timing, TimingPolicy

H = TypeVar("H", contravariant=True)
R = TypeVar("R", covariant=True)


class RejectedError(Exception):
    """A configuration or kernel that a postprocessor or a limit of the target refuses."""


_MOST_CHARACTERS = 300
"""Length of a failure that is told on a line: some libraries print a whole graph."""


class Failed(Exception):  # noqa: N818 - the failure of a candidate, not of the program
    """A request to a worker that failed.

    A handler whose candidates run in processes of their own raises it, not fatal, to say how a
    candidate ended. Where candidates run in the worker, it is the end of the worker that says it.

    Attributes:
        status: How it ended.
        fatal: Whether the worker died, and with it everything that it held.
    """

    def __init__(self, status: Status, message: str, fatal: bool = False) -> None:
        super().__init__(message)
        self.status, self.fatal = status, fatal

    @property
    def told(self) -> str:
        """The message on one line: that of a process that died has its last words."""
        return " ".join(str(self).split())[:_MOST_CHARACTERS]


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
        """Return the handler's answer; whatever this raises is the failure of the request.

        A `RejectedError` and a `Failed` say how it ended; otherwise `failure` says it.
        """


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
        error: Difference from the untuned kernel's output, see `core.agreement`. NaN where only one
            of two values is finite, or the run for the output failed. None where outputs were not
            compared: the kernel could not be timed, a faster kernel is right, or only times are
            wanted.
        message: The cause of a failure; empty without one.
    """

    samples: tuple[float, ...]
    error: float | None
    message: str = ""


TUNED, UNTUNED, ONNXRUNTIME = "tuned", "untuned", "onnxruntime"
"""Names of contestants: every `Comparison` has the tuned model and one of the others."""


@dataclass(frozen=True)
class Comparison:
    """An interleaved comparison of whole models, each in a process of its own.

    Attributes:
        samples: Seconds of a call in each round, by contestant: `tuned`, and what the tuned model
            has to beat: `onnxruntime`, or `untuned` where onnxruntime does not run the model.
        errors: Difference of the tuned model's outputs from each other contestant's, see
            `core.agreement`.
        failed: Why contestants took no part.
        shares: Share of the tuned model's time that its parts in onnxruntime take, by name.
    """

    samples: Mapping[str, Sequence[float]]
    errors: Mapping[str, float]
    failed: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

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

    def derive_space(self, key: str, module: str, target: dict[str, Any]) -> Any:
        """Learn a task whose design space is not known yet.

        Args:
            key: See `load_task`.
            module: See `load_task`.
            target: See `load_task`.

        Returns:
            The design space as plain data, see `space.plain`.

        Raises:
            RejectedError: The kernel has no design space.
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
    """Runs one whole model at a time, in a worker of its own."""

    def open(self, contestant: str, path: str, threads: int, inputs: Mapping[str, Any]) -> None:
        """Load a model and keep its inputs.

        Args:
            contestant: Name of the contestant, such as `tuned`; it says how the model is run.
            path: Path of the model.
            threads: Number of threads that it may use.
            inputs: Arrays by name of the input.
        """
        ...

    def outputs(self) -> list[Any]:
        """Run the model once, and return its outputs in order."""
        ...

    def time(self, at_least_secs: float) -> float:
        """Return the mean seconds of a call, of as many as fill the time, at least one."""
        ...

    def shares(self) -> Mapping[str, float]:
        """Return the share of the time that each part in another runtime takes, by its name."""
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
class DeriveSpace(Request[HasTasks, Any]):
    """See `TaskHandler.derive_space`."""

    key: str
    module: str = field(repr=False)
    target: dict[str, Any] = field(repr=False)
    stage: ClassVar[str] = "derive_space"

    def answered_by(self, handler: HasTasks) -> Any:
        """See `Request.answered_by`."""
        return handler.tasks.derive_space(self.key, self.module, self.target)


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
class OpenModel(Request[HasModels, None]):
    """See `ModelHandler.open`."""

    contestant: str
    path: str
    threads: int
    inputs: Mapping[str, Any] = field(repr=False)
    stage: ClassVar[str] = "open"
    failure: ClassVar[Status] = Status.RUN_ERROR

    def answered_by(self, handler: HasModels) -> None:
        """See `Request.answered_by`."""
        handler.models.open(self.contestant, self.path, self.threads, self.inputs)


@dataclass(frozen=True)
class ModelOutputs(Request[HasModels, "list[Any]"]):
    """See `ModelHandler.outputs`."""

    stage: ClassVar[str] = "outputs"
    failure: ClassVar[Status] = Status.RUN_ERROR

    def answered_by(self, handler: HasModels) -> list[Any]:
        """See `Request.answered_by`."""
        return handler.models.outputs()


@dataclass(frozen=True)
class TimeModel(Request[HasModels, float]):
    """See `ModelHandler.time`."""

    at_least_secs: float
    stage: ClassVar[str] = "time"
    failure: ClassVar[Status] = Status.RUN_ERROR

    def answered_by(self, handler: HasModels) -> float:
        """See `Request.answered_by`."""
        return handler.models.time(self.at_least_secs)


@dataclass(frozen=True)
class PartShares(Request[HasModels, "Mapping[str, float]"]):
    """See `ModelHandler.shares`."""

    stage: ClassVar[str] = "shares"
    failure: ClassVar[Status] = Status.RUN_ERROR

    def answered_by(self, handler: HasModels) -> Mapping[str, float]:
        """See `Request.answered_by`."""
        return handler.models.shares()
