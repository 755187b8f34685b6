"""The tuned model beside the untuned one and onnxruntime: outputs and latency, in one worker."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.stopwatch import mean_secs
from chameleon_tuner.tvm.deploy import Library
from chameleon_tuner.tvm.judging import JudgingWorker, difference

ROUND_SECS = 0.2
"""How long each contestant runs in a round."""

_PAUSE_SECS = 0.05
"""Before every turn. Without it, whoever came behind onnxruntime read 1.2 times as long as the same
library elsewhere in the round (a network of 1 ms on 2 cores), with it 0.96 to 1.14 times; without
onnxruntime 0.97 to 1.01."""

_HOPELESS = 10.0
"""Times as long as the tuned model, from where a single round tells enough: an untuned ResNet-18
takes 2 s a call."""

_HOPELESS_SECS = 1.0
"""From where the first call does: it is no hiccup."""

TUNED, UNTUNED = "tuned", "untuned"

_SEED = 7


@dataclass(frozen=True)
class Comparison:
    """One interleaved comparison.

    Attributes:
        latency_secs: medians over the rounds, by contestant: `tuned`, `untuned` (of a single call
            where it is hopeless) and, where it is installed and the model came from ONNX,
            `onnxruntime`.
        errors: the tuned model's largest difference from the others' outputs, relative to the
            largest output.
    """

    latency_secs: Mapping[str, float]
    errors: Mapping[str, float]


class ModelWorker(JudgingWorker):
    """Handler of requests of whole models, beside those of kernels."""

    def compare(self, tuned: str, untuned: str, onnx: str | None, threads: int) -> Comparison:
        """Compare libraries `folder/file`; see `Comparison`."""
        library = _library(tuned)
        inputs = library.random_inputs(_SEED)
        reference = _library(untuned)
        runs: dict[str, Callable[[], Sequence[Any]]] = {
            TUNED: lambda: [*library(inputs).values()],
            UNTUNED: lambda: [*reference(inputs).values()],
        }
        timers: dict[str, Callable[[], float]] = {
            TUNED: lambda: library.time(inputs, ROUND_SECS),
            UNTUNED: lambda: reference.time(inputs, ROUND_SECS),
        }
        session = None if onnx is None else _onnx_session(onnx, threads)
        if session is not None:
            runs["onnxruntime"] = lambda: session.run(None, inputs)
            timers["onnxruntime"] = lambda: mean_secs(runs["onnxruntime"], ROUND_SECS)
        outputs, first_secs = {}, {}
        for name, run in runs.items():
            begin = time.perf_counter()
            outputs[name] = list(run())
            first_secs[name] = time.perf_counter() - begin
        errors = {
            name: difference(outputs[TUNED], theirs)
            for name, theirs in outputs.items()
            if name != TUNED
        }
        return Comparison(interleaved(timers, first_secs), errors)


def _library(path: str) -> Library:
    return Library(Path(path).parent, Path(path).name)


def interleaved(
    timers: Mapping[str, Callable[[], float]], first_secs: Mapping[str, float]
) -> dict[str, float]:
    """Medians of five rounds, fewer of what is slow, by contestant; `TUNED` is one of them.

    Args:
        timers: seconds of one call.
        first_secs: of the first call, which is slow; of an untuned model that is hopeless all that
            is needed.
    """
    hopeless_secs = max(_HOPELESS_SECS, _HOPELESS * first_secs[TUNED])
    untimed = {UNTUNED} if first_secs.get(UNTUNED, 0.0) > hopeless_secs else set[str]()
    samples: dict[str, list[float]] = {
        name: [first_secs[name]] if name in untimed else [] for name in timers
    }
    for _ in range(5):
        for name, timer in timers.items():
            if len(samples[name]) < _turns(samples[name], samples[TUNED]):
                time.sleep(_PAUSE_SECS)
                samples[name].append(timer())
    return {name: statistics.median(mine) for name, mine in samples.items()}


def _turns(samples: Sequence[float], tuned: Sequence[float]) -> int:
    """How many rounds a contestant has: three where they take seconds, one where it is hopeless."""
    if not samples:
        return 5
    if samples[0] > _HOPELESS * tuned[0]:
        return 1
    return 5 if samples[0] < 2 * ROUND_SECS else 3


def _onnx_session(path: str, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
