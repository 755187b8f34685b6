"""Durable records: the interface of a store, what a record is about, what was measured before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import DistinctOutcomes, Outcome, Status
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.space.task import Task

SEARCH = "search"
"""Purpose of what a search measured. A resumed search recalls these timings."""

REPEAT = "repeat"
"""Purpose of timings of a module that was stored already. They are kept, but never recalled."""

FINAL = "final"
"""Purpose of timings in the final comparison of a kernel or of the whole model."""


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def fingerprint(value: object) -> str:
    """Return 64 hexadecimal digits that differ where the value's canonical JSON differs."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class Workload:
    """A kernel to tune, apart from how it is scheduled.

    Attributes:
        hash: Structural hash of its module, which is its identity. The store keeps the name and
            the module that came first with a hash.
        name: Name for people; different models may name the same workload differently.
        module: The backend's text of the module.
        space: JSON of its design space (`space.plain`), so that its configurations can be decoded
            without the backend; empty for what earlier versions stored.
        family: What it has in common with workloads whose records teach something about it, see
            `family_of`; empty where the space is.
        facts: What else is known of it for people: arguments, flops, algorithm.
    """

    hash: str
    name: str
    module: str
    space: str = field(default="", repr=False, compare=False)
    family: str = field(default="", repr=False, compare=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(task: Task) -> Workload:
        """Return the workload of a task."""
        facts = {
            "arguments": list(task.arguments),
            "flops": task.flops,
            "algorithm": task.algorithm,
            "vector_bits": task.vector_bits,
        }
        space = canonical_json(to_plain(task.space))
        return Workload(task.key, task.name, task.module, space, family_of(task), facts)

    def design_space(self) -> DesignSpace:
        """Return its design space.

        Raises:
            UsageError: It is not known, or damaged.
        """
        return from_plain(json.loads(self.space) if self.space else None)


def family_of(task: Task) -> str:
    """Return the family of a task: tasks of one family share the features of their cost model.

    These are kernels of one structure in all sizes, for CPUs with equally wide vectors.
    """
    return fingerprint([task.vector_bits, *task.space.feature_names])[:16]


@dataclass(frozen=True)
class Environment:
    """Where timings are comparable: equal environments share their records.

    Attributes:
        target: The target as JSON text.
        device: Model of the processor or of the GPU.
        threads: Number of threads that a kernel may use.
        versions: Versions of whatever changes the generated code or the timing, by name.
    """

    target: str
    device: str
    threads: int
    versions: Mapping[str, str]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all fields, which is the identity."""
        return fingerprint([self.target, self.device, self.threads, dict(self.versions)])

    def __hash__(self) -> int:
        return hash(self.fingerprint)


@dataclass(frozen=True)
class RunInfo:
    """What makes two commands the same run, so that the second one resumes the first.

    Attributes:
        model: Hash of the content of what is tuned.
        recipe: Name of the search recipe.
        seed: Seed of the search, 0 <= seed < 2**63.
        settings: Everything else that changes the search; JSON values only.
    """

    model: str
    recipe: str
    seed: int
    settings: Mapping[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all fields, which is the identity."""
        return fingerprint([self.model, self.recipe, self.seed, dict(self.settings)])

    def __hash__(self) -> int:
        return hash(self.fingerprint)


@dataclass(frozen=True)
class StoredRun:
    """A run that a store knows; `created_at` is in UTC."""

    id: int
    info: RunInfo
    created_at: datetime


@dataclass(frozen=True)
class Record:
    """A stored measurement.

    Attributes:
        run_id: Id of the run that measured it first.
        purpose: What it was measured for.
        created_at: When its batch was stored, UTC.
        outcome: Equal to what was measured.
    """

    run_id: int
    purpose: str
    created_at: datetime
    outcome: Outcome


@dataclass(frozen=True)
class PastSearch:
    """What was measured of one workload before a run began.

    Attributes:
        workload: The workload.
        environment: Where it was measured.
        outcomes: The outcomes, in the order of measurement.
        finals: Seconds of the timings in final comparisons, by identity of the outcome.
    """

    workload: Workload
    environment: Environment
    outcomes: Sequence[Outcome] = field(repr=False)
    finals: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Measurement:
    """A stored measurement with what it is of.

    Attributes:
        workload: Hash of the workload.
        environment: Fingerprint of the environment.
        record: The measurement.
    """

    workload: str
    environment: str
    record: Record


@dataclass(frozen=True)
class StoredTiming:
    """Timings of something that no configuration describes, such as an untuned kernel.

    Attributes:
        workload: Hash of the workload; None for a whole model.
        subject: What was timed, such as `untuned` or `onnxruntime`.
        purpose: What it was timed for.
        seconds: The timings, in their order.
    """

    workload: str | None
    subject: str
    purpose: str
    seconds: tuple[float, ...]


class Memory:
    """The outcomes of one workload in one environment; every lookup takes constant time.

    Where two outcomes answer the same question, the one that was remembered first does, so that
    a resumed search gets what the interrupted one got. Not thread-safe; owned by one loop.
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._proposed: dict[Configuration, Outcome] = {}
        self._ran: dict[Configuration, Outcome] = {}
        self._modules = DistinctOutcomes()
        self.remember(outcomes)

    def __len__(self) -> int:
        """Return the number of distinct measurements."""
        return len(self._modules)

    def remember(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes, as `Records.append` returned them."""
        for outcome in outcomes:
            self._proposed.setdefault(outcome.proposed, outcome)
            self._ran.setdefault(outcome.configuration, outcome)
            self._modules.add([outcome])

    def recall(self, configuration: Configuration) -> Outcome | None:
        """Return the outcome of a configuration that was proposed before, or that ran before.

        Its `proposed` is the configuration that is asked for. None where it was never measured.
        """
        found = self._proposed.get(configuration) or self._ran.get(configuration)
        return found and replace(found, proposed=configuration)

    def recall_module(self, structural_hash: str) -> Outcome | None:
        """Return the outcome of a module; None for an unknown or empty structural hash.

        Different configurations can make the same module: `configuration` and `proposed` are
        those of the first one.
        """
        return self._modules.of_module(structural_hash)


class Records(Protocol):
    """A store of everything that was timed; append-only.

    Every call that stores is one transaction: a process that is killed loses at most the batch in
    flight, and never a part of a batch. Every method raises `RecordsError` where the store cannot
    be read or written.
    """

    def begin(self, run: RunInfo) -> int:
        """Start a run, or resume the one with the same description, and return its id."""
        ...

    def append(
        self,
        run_id: int,
        workload: Workload,
        environment: Environment,
        outcomes: Sequence[Outcome],
        purpose: str = SEARCH,
    ) -> list[Outcome]:
        """Store a batch, all of it or nothing.

        Args:
            run_id: Id of the run that measured the batch.
            workload: The workload that was measured.
            environment: Where it was measured.
            outcomes: The batch.
            purpose: What it was measured for.

        Returns:
            The outcomes as every later `lookup` recalls them.
        """
        ...

    def add_samples(
        self,
        workload: Workload,
        environment: Environment,
        structural_hash: str,
        purpose: str,
        samples: Sequence[float],
    ) -> None:
        """Append timings of a module that is stored.

        Args:
            workload: The workload of the module.
            environment: Where it was timed.
            structural_hash: Hash of the module.
            purpose: What it was timed for.
            samples: Seconds of every timing.

        Raises:
            KeyError: The module is not stored.
        """
        ...

    def add_timing(self, run_id: int, environment: Environment, timing: StoredTiming) -> None:
        """Append timings of something that no configuration describes.

        Args:
            run_id: Id of the run that timed it.
            environment: Where it was timed.
            timing: What was timed, and the seconds.
        """
        ...

    def timings(self, run_id: int) -> Sequence[StoredTiming]:
        """Return the timings of a run that no configuration describes, in no particular order."""
        ...

    def count(self, run_id: int) -> Mapping[Status, int]:
        """Return the number of measurements that a run stored, by their status."""
        ...

    def lookup(self, workload: Workload, environment: Environment) -> Memory:
        """Return everything that was measured of a workload in an environment."""
        ...
