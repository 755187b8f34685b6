"""What a run gives back: the numbers of `summary.json`, and where everything is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.task import DIRECT
from chameleon_tuner.writing import strict_json

SUMMARY, REPORT = "summary.json", "report.md"


@dataclass(frozen=True)
class TaskResult:
    """One task of the network.

    Attributes:
        name: of the task.
        weight: calls in the network.
        flops: of one call.
        untuned_us: microseconds of the untuned kernel, in the final comparison; of one that is
            hopeless those of a single run.
        best_us: of the kernel that is deployed, in the same comparison.
        trials: measured.
        configuration: the winner's; None where the untuned kernel stays.
        decisions: the winner's, readable: factors of tiles, values of choices and locations.
        refused: why finalists did not win.
        kernels: what the library calls it; identical ones are one task.
        algorithm: of what is deployed; where it is not direct, it does fewer operations than
            `flops`, which counts those of the direct one.
    """

    name: str
    weight: int
    flops: float
    untuned_us: float
    best_us: float
    trials: int
    configuration: Mapping[str, Any] | None
    decisions: Sequence[Any] | None
    refused: Sequence[str]
    kernels: Sequence[str] = ()
    algorithm: str = DIRECT

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations a second of what is deployed."""
        return self.flops / self.best_us / 1e3 if self.best_us > 0 else 0.0


@dataclass(frozen=True)
class Result:
    """A finished run; the attributes are those of `summary.json`.

    Attributes:
        model: its name.
        target: TVM's JSON of the target.
        recipe: of the search.
        seed: of the search.
        threads: that kernels were tuned and timed with.
        versions: of what was involved.
        trials: attempted, measured, censored, failed by status.
        seconds: total, explore, sample, fit, build, run, other.
        latency_ms: medians of interleaved runs: untuned, tuned, onnxruntime where it is installed;
            of an untuned model that is hopeless those of a single run.
        verified: whether the tuned model's outputs agree with all others.
        errors: largest difference from each other's outputs, relative to the largest output.
        tasks: of the network.
        folder: where everything was written; not in the file.
    """

    model: str
    target: Mapping[str, Any]
    recipe: str
    seed: int
    threads: int
    versions: Mapping[str, str]
    trials: Mapping[str, Any]
    seconds: Mapping[str, float]
    latency_ms: Mapping[str, float]
    verified: bool
    errors: Mapping[str, float]
    tasks: Sequence[TaskResult]
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        data = asdict(self)
        del data["folder"]
        return {key: strict_json(value) for key, value in data.items()}

    def write(self) -> None:
        """Write `summary.json` into the folder."""
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        (self.folder / SUMMARY).write_text(text + "\n")

    @property
    def speedup(self) -> float:
        """Untuned over tuned latency."""
        return self.latency_ms["untuned"] / self.latency_ms["tuned"]
