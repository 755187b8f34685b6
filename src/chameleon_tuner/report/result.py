"""The result of a run: the numbers of `summary.json` and the folder of the output."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chameleon_tuner.core.errors import OutputError
from chameleon_tuner.ports.handler import TUNED
from chameleon_tuner.space.task import DIRECT
from chameleon_tuner.system.files import SUMMARY, strict_json


@dataclass(frozen=True)
class TaskResult:
    """The result of one task of the network.

    Attributes:
        name: Name of the task.
        weight: Number of calls in the network.
        flops: Floating-point operations of one call by the direct algorithm.
        untuned_us: Microseconds of the untuned kernel, which has a default schedule, in the final
            comparison; of a hopelessly slow kernel, those of a single run.
        best_us: Microseconds of the kernel that the tuned model has, in the same comparison.
        trials: Number of measured trials.
        configuration: Configuration of the winner; None if the untuned kernel stays. Where the
            tuned model is not deployed, the kernels are those that it has.
        decisions: Readable decisions of the winner: factors of tiles, values of choices and
            locations.
        refused: The reasons why finalists did not win.
        kernels: Names of the kernel in the library; identical kernels are one task.
        algorithm: Algorithm of the kernel that the tuned model has. An algorithm other than the
            direct one does fewer operations than `flops`.
        workloads: Hashes of the workloads in the records that compute it: its own, and those of
            other algorithms. That of the winner is the first.
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
    workloads: Sequence[str] = ()

    @property
    def gflops(self) -> float:
        """The throughput of the kernel, in 10^9 floating-point operations per second."""
        return self.flops / self.best_us / 1e3 if self.best_us > 0 else 0.0


@dataclass(frozen=True)
class PartResult:
    """A part of the deployed model that runs in another runtime.

    Attributes:
        name: Name by which the compiled code calls it.
        operators: Its operators, in order.
        share: Share of the model's time that it takes.
        reasons: Why its operators are not compiled.
    """

    name: str
    operators: Sequence[str]
    share: float
    reasons: Sequence[str]


@dataclass(frozen=True)
class VariantResult:
    """The result for one variant of the model's shapes; see `Result` for the attributes.

    Attributes:
        shapes: The shapes that were given.
        latency_ms: Latencies by contestant.
        deployed: What runs these shapes.
        reason: Why the tuned model does not.
        verified: Whether the outputs agree.
        errors: Differences of the outputs by contestant.
        parts: Parts in onnxruntime.
    """

    shapes: str
    latency_ms: Mapping[str, float]
    deployed: str
    reason: str
    verified: bool
    errors: Mapping[str, float]
    parts: Sequence[PartResult]


@dataclass(frozen=True)
class Result:
    """The result of a finished run; `summary.json` has the same attributes.

    Attributes:
        model: Name of the model.
        target: The target in TVM's JSON form.
        recipe: Recipe of the search.
        seed: Seed of the search.
        threads: Number of threads with which kernels were tuned and timed.
        versions: Version of every package that affects the result.
        trials: Numbers of trials: attempted, measured, censored, and failed by status.
        seconds: Seconds by activity: total, explore, sample, fit, build, run, other.
        latency_ms: Median milliseconds of interleaved runs of the tuned model, and of what it had
            to beat: onnxruntime, or the untuned model where onnxruntime does not run it; of a
            hopelessly slow untuned model, those of a single run.
        verified: Whether the outputs of what is deployed agree with those of all other models.
        errors: Largest difference between the outputs of the tuned model and those of each other
            model, relative to the largest output.
        tasks: Results of the network's tasks.
        deployed: What is in the folder: `tuned`, or the one that the tuned model did not beat.
        reason: Why the tuned model is not deployed; empty if it is.
        absent: Why those that usually have to be beaten took no part, by name.
        parts: Parts of the tuned model that run in onnxruntime.
        variants: Results of all shapes, where several were given; the attributes above are those of
            the first.
        store: The records of all runs: their `place`, empty where none were used, the `known`
            trials of these kernels, the trials of `relatives`, and the `trouble` with them if any.
        folder: Folder of the output; not part of the file.
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
    deployed: str = TUNED
    reason: str = ""
    absent: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[PartResult] = ()
    variants: Sequence[VariantResult] = ()
    store: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of `summary.json`."""
        data = asdict(self)
        del data["folder"]
        return {key: strict_json(value) for key, value in data.items()}

    def write(self) -> None:
        """Write `summary.json` into the folder."""
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        (self.folder / SUMMARY).write_text(text + "\n")

    @staticmethod
    def read(folder: Path) -> Result:
        """Read the result of a run from its folder, of any version so far.

        Raises:
            OutputError: The folder holds no `summary.json` of a run.
        """
        try:
            return _result(json.loads((folder / SUMMARY).read_text()), folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise OutputError(
                f"{folder} holds no {SUMMARY} of a run; make one with `chameleon tune`"
            ) from None

    @property
    def baseline(self) -> str:
        """Name of what runs the model today: the fastest that the tuned model had to beat."""
        others = {name: ms for name, ms in self.latency_ms.items() if name != TUNED}
        return min(others, key=lambda name: others[name], default=TUNED)

    @property
    def best_ms(self) -> float:
        """Milliseconds of what is deployed."""
        return self.latency_ms[self.deployed]

    @property
    def speedup(self) -> float:
        """The latency of what runs the model today, divided by that of what is deployed."""
        return self.latency_ms[self.baseline] / self.best_ms


# -- reading


def _result(data: Mapping[str, Any], folder: Path) -> Result:
    trials = data["trials"]
    result = Result(
        model=str(data["model"]),
        target=dict(data["target"]),
        recipe=str(data["recipe"]),
        seed=int(data["seed"]),
        threads=int(data["threads"]),
        versions=_texts(data["versions"]),
        trials={
            **{name: int(trials[name]) for name in ("attempted", "measured", "censored")},
            "failed": {str(name): int(count) for name, count in trials["failed"].items()},
        },
        seconds=_numbers(data["seconds"]),
        latency_ms=_numbers(data["latency_ms"]),
        verified=bool(data["verified"]),
        errors=_numbers(data["errors"], math.nan),
        tasks=[_task(task) for task in data["tasks"]],
        folder=folder,
        deployed=str(data.get("deployed", TUNED)),
        reason=str(data.get("reason", "")),
        absent=_texts(data.get("absent", {})),
        parts=[_part(part) for part in data.get("parts", ())],
        variants=[_variant(variant) for variant in data.get("variants", ())],
    )
    _ = result.best_ms, result.seconds["total"]  # what is deployed was timed
    return result


def _task(data: Mapping[str, Any]) -> TaskResult:
    return TaskResult(
        name=str(data["name"]),
        weight=int(data["weight"]),
        flops=_number(data["flops"], 0.0),
        untuned_us=_number(data["untuned_us"]),
        best_us=_number(data["best_us"]),
        trials=int(data["trials"]),
        configuration=data["configuration"],
        decisions=data["decisions"],
        refused=list(map(str, data["refused"])),
        kernels=list(map(str, data.get("kernels", ()))),
        algorithm=str(data.get("algorithm", DIRECT)),
        workloads=list(map(str, data.get("workloads", ()))),
    )


def _part(data: Mapping[str, Any]) -> PartResult:
    operators, reasons = (list(map(str, data[name])) for name in ("operators", "reasons"))
    return PartResult(str(data["name"]), operators, _number(data["share"], 0.0), reasons)


def _variant(data: Mapping[str, Any]) -> VariantResult:
    return VariantResult(
        shapes=str(data["shapes"]),
        latency_ms=_numbers(data["latency_ms"]),
        deployed=str(data["deployed"]),
        reason=str(data["reason"]),
        verified=bool(data["verified"]),
        errors=_numbers(data["errors"], math.nan),
        parts=[_part(part) for part in data["parts"]],
    )


def _number(value: Any, missing: float = math.inf) -> float:
    """Return a number, which strict JSON has as null where it is not finite."""
    return missing if value is None else float(value)


def _numbers(data: Mapping[str, Any], missing: float = math.inf) -> dict[str, float]:
    return {str(name): _number(value, missing) for name, value in data.items()}


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in data.items()}
