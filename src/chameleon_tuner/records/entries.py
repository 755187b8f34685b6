"""What a record is about: the workload, the environment, the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chameleon_tuner.measure.outcome import Outcome

SEARCH = "search"
"""The purpose of what a search measured; `History` is made of these."""

REPEAT = "repeat"
"""The purpose of timings of something that was stored already; kept, but never recalled."""

_UNBUILT = "configuration:"
"""How `Outcome.identity` begins where there is no module."""


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def fingerprint(value: object) -> str:
    """64 hexadecimal digits that differ where the value's canonical JSON differs."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class Workload:
    """A kernel to tune, apart from how it is scheduled.

    Attributes:
        hash: structural hash of its module; its identity. The name and the module that came
            first with a hash are the ones that are kept.
        name: for people; different models may give the same workload different names.
        module: the TVM module as JSON text.
    """

    hash: str
    name: str
    module: str


@dataclass(frozen=True)
class Environment:
    """Where timings are comparable: equal environments share their records.

    Attributes:
        target: the TVM target as JSON text.
        device: the model of the processor or of the GPU.
        threads: how many threads a kernel may use.
        versions: of whatever changes the generated code or the timing (tvm, llvm, cuda, the
            timing policy), by name.
    """

    target: str
    device: str
    threads: int
    versions: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Its identity: a hash of all fields."""
        return fingerprint([self.target, self.device, self.threads, dict(self.versions)])

    def __hash__(self) -> int:
        return hash(self.fingerprint)


@dataclass(frozen=True)
class RunInfo:
    """What makes two commands the same run, so that the second one resumes the first.

    Attributes:
        model: what is tuned, so that the same model has the same text (its content's hash).
        recipe: the name of the search.
        seed: of the search; 0 <= seed < 2**63.
        settings: everything else that changes the search; JSON values only.
    """

    model: str
    recipe: str
    seed: int
    settings: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Its identity: a hash of all fields."""
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
        run_id: the run that measured it first.
        purpose: what it was measured for.
        created_at: when its batch was stored, UTC.
        outcome: equal to what was measured.
    """

    run_id: int
    purpose: str
    created_at: datetime
    outcome: Outcome


def structural_hash(identity: str) -> str:
    """The structural hash of an outcome with this `Outcome.identity`; empty where it has none."""
    return "" if identity.startswith(_UNBUILT) else identity
