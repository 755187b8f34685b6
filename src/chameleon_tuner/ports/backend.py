"""The interface of a backend: from a model to tasks, and from winners to libraries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Comparison, HasModels, Request, TuningHandler
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.ports.records import Environment
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
    def apart_bytes(self) -> int:
        """See `TimingPolicy.apart_bytes`."""
        ...

    def kernel_names(self) -> Mapping[str, Sequence[str]]:
        """Return what a tuned library calls its kernels, by key of their task."""
        ...

    def build(self, winners: Mapping[str, Winner], folder: Path) -> None:
        """Write the tuned library and everything that belongs to it, and the untuned library.

        Args:
            winners: What is deployed, by key of the kernel; other kernels stay untuned.
            folder: An existing folder.

        Raises:
            OutputError: The folder cannot be written.
        """
        ...

    def comparison(self, folder: Path) -> Request[HasModels, Comparison]:
        """Return the request that compares the deployed library with the untuned one."""
        ...

    def usage(self, folder: Path) -> Sequence[str]:
        """Return lines of Markdown for the report: how the library in the folder is used."""
        ...

    def keep_untuned(self, folder: Path) -> None:
        """Deploy the untuned library in place of the tuned one."""
        ...

    def drop_untuned(self, folder: Path) -> None:
        """Remove the untuned library; the deployed one stays."""
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

    def read(
        self,
        model: Any,
        target: str = "auto",
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        runnable: bool = True,
    ) -> SourceT:
        """Read a model and open the target.

        Args:
            model: Whatever a user may hand in.
            target: Name of the target; `auto` for this machine's CPU.
            shapes: Static shapes of inputs with open dimensions, by name.
            runnable: Whether candidates have to run on this machine; listing tasks needs no device.

        Returns:
            The model.

        Raises:
            ModelError: The model cannot be read.
            TargetError: The target is unknown, or this machine has no such device.
        """
        ...

    def prepare(self, source: SourceT, without: Collection[str] = ()) -> Project:
        """Make tasks of a model.

        Args:
            source: The model, from `read` of this backend.
            without: Names of algorithms that are left out.

        Returns:
            The model's tasks and the way back to a library.
        """
        ...
