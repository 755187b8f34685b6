"""The interface of a backend: from a model to tasks, and from winners to libraries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from chameleon_tuner.core.shapes import GivenShapes
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import (
    DeriveSpace,
    Failed,
    OpenModel,
    Request,
    TuningHandler,
)
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.ports.records import Environment
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task


@dataclass(frozen=True)
class AlgorithmInfo:
    """An algorithm that a backend may compute kernels by, where it is faster.

    Attributes:
        name: Name that users type, as in `--without NAME`.
        help: What the algorithm does, one sentence for the command line.
    """

    name: str
    help: str


@dataclass(frozen=True)
class Winner:
    """A candidate that is deployed.

    Attributes:
        finalist: The candidate.
        secs: Seconds of a call in the final comparison.
    """

    finalist: Finalist
    secs: float


class Rehearsal(Protocol):
    """The import of a model, tried in a worker: what a third party's code does may end a process.

    Ask for a request, send it to a new worker, and hand in what came of it, until there is none.
    """

    def request(self) -> Request[object, Any] | None:
        """Return the next request to a worker; None at the end."""
        ...

    def answered(self, answer: Any) -> None:
        """Take the answer of the last request.

        Raises:
            ModelError: The model cannot be imported.
            TargetError: The target is unknown.
        """
        ...

    def failed(self, failure: Failed) -> None:
        """Take the failure of the last request, such as the death of its worker.

        Raises:
            ModelError: The model cannot be imported.
        """
        ...


class Designer(Protocol):
    """Derives the design spaces of kernels in worker processes, several at once."""

    def designs(self, kernels: Iterable[DeriveSpace]) -> Sequence[DesignSpace | None]:
        """Return the design space of every kernel, in order; None for one that cannot be tuned.

        The kernels are taken one after another, while workers derive the spaces of earlier ones.

        Raises:
            MeasurementError: Nothing can be derived.
        """
        ...


class ModelSource(Protocol):
    """A model that a backend has read."""

    @property
    def name(self) -> str:
        """Name of the model, for people."""
        ...

    @property
    def digest(self) -> str:
        """Hash of the model with its weights and the shapes that it is tuned for."""
        ...


SourceT = TypeVar("SourceT", bound=ModelSource)


class Project(Protocol):
    """A model prepared for one target: its tasks, and how winners become a library."""

    @property
    def tasks(self) -> Sequence[Task]:
        """The distinct kernels, and other algorithms for them."""
        ...

    @property
    def target(self) -> Mapping[str, Any]:
        """The target as plain JSON."""
        ...

    @property
    def threads(self) -> int:
        """Number of threads that kernels are tuned with."""
        ...

    @property
    def environment(self) -> Environment:
        """Where timings are comparable: the true device, and everything that changes code."""
        ...

    @property
    def absent(self) -> Mapping[str, str]:
        """Why those that usually have to be beaten take no part, by name."""
        ...

    @property
    def apart_bytes(self) -> int:
        """See `TimingPolicy.apart_bytes`."""
        ...

    @property
    def variants(self) -> Sequence[str]:
        """The shapes that the model is tuned for, for people; one text where they are fixed."""
        ...

    def parts(self, variant: int) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
        """Return parts that run in another runtime: operators, and why, by name of the part."""
        ...

    def kernel_names(self) -> Mapping[str, Sequence[str]]:
        """Return what a tuned library calls its kernels, by key of their task."""
        ...

    def build(self, winners: Mapping[str, Winner], folder: Path) -> None:
        """Write the tuned library and everything that belongs to it, and what it has to beat.

        Args:
            winners: What is deployed, by key of the kernel; other kernels stay untuned.
            folder: An existing folder.

        Raises:
            OutputError: The folder cannot be written.
        """
        ...

    def contestants(self, folder: Path, variant: int) -> Mapping[str, OpenModel]:
        """Return how the tuned model of a folder, and each of those that it has to beat, is opened.

        They are named as in `Comparison`, and all get the same inputs.

        Args:
            folder: The folder.
            variant: Number of the shapes, see `variants`.
        """
        ...

    def usage(self, folder: Path) -> Sequence[str]:
        """Return lines of Markdown for the report: how the library in the folder is used."""
        ...

    def mending(self, variant: int) -> Rehearsal | None:
        """Return how a worker finds what is wrong where the tuned model's outputs are wrong.

        None where that cannot be found out, or was tried before.

        Args:
            variant: Number of the shapes with the wrong outputs, see `variants`.
        """
        ...

    def mended(self, mending: Rehearsal) -> Project | None:
        """Return the project without what was found to be wrong; None if nothing was.

        Args:
            mending: What came of `mending`.
        """
        ...

    def keep(self, contestant: str, folder: Path, variant: int) -> None:
        """Deploy one of the other contestants in place of the tuned model.

        Args:
            contestant: Its name.
            folder: The folder.
            variant: Number of the shapes, see `variants`.
        """
        ...

    def drop_rivals(self, folder: Path) -> None:
        """Remove what only the comparison needed; what is deployed stays."""
        ...


class Backend(Protocol[SourceT]):
    """Makes tasks of models and libraries of winners.

    Its modules may take long to import; an object of the class must not.
    """

    @property
    def name(self) -> str:
        """Name of the backend, which is part of what identifies a run."""
        ...

    @property
    def handler(self) -> HandlerEntry[TuningHandler]:
        """Where worker processes find their handler."""
        ...

    @property
    def algorithms(self) -> Sequence[AlgorithmInfo]:
        """Algorithms that can be left out by name."""
        ...

    def load(self) -> None:
        """Import the modules of the backend; may be called in another thread."""
        ...

    def rehearsal(self, model: Any, target: str, shapes: GivenShapes | None) -> Rehearsal | None:
        """Return how a worker tries to import a model; None where nothing can go wrong.

        Args:
            model: See `read`.
            target: See `read`.
            shapes: See `read`.

        Returns:
            The rehearsal, which `read` takes when it is over.
        """
        ...

    def read(
        self,
        model: Any,
        target: str = "auto",
        shapes: GivenShapes | None = None,
        *,
        samples: Mapping[str, Any] | None = None,
        rehearsal: Rehearsal | None = None,
        runnable: bool = True,
    ) -> SourceT:
        """Read a model and open the target.

        Args:
            model: Whatever a user may hand in.
            target: Name of the target; `auto` for this machine's CPU.
            shapes: Static shapes of inputs with open dimensions, by name; several for variants.
            samples: Inputs on which the model is verified and timed, by name; random ones without.
            rehearsal: What a worker found out about the same model, from `rehearsal`.
            runnable: Whether candidates have to run on this machine; listing tasks needs no device.

        Returns:
            The model.

        Raises:
            ModelError: The model cannot be read.
            TargetError: The target is unknown, or this machine has no such device.
        """
        ...

    def prepare(
        self,
        source: SourceT,
        without: Collection[str] = (),
        designer: Designer | None = None,
    ) -> Project:
        """Make tasks of a model.

        Args:
            source: The model, from `read` of this backend.
            without: Names of algorithms that are left out.
            designer: Derives the design spaces; without it this process does.

        Returns:
            The model's tasks and the way back to a library.
        """
        ...
