"""The tuned model beside the untuned one and onnxruntime: outputs and latency, in one worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.run.finals import difference
from chameleon_tuner.ports.handler import TUNED, UNTUNED, Comparison
from chameleon_tuner.system.clock import mean_secs

ROUND_SECS = 0.2
"""Seconds that each contestant runs in a round."""

_PAUSE_SECS = 0.05
"""Seconds of rest before every turn. Without it, the contestant after onnxruntime took 1.2 times as
long as the same library elsewhere in the round (a network of 1 ms on 2 cores), with it 0.96 to 1.14
times; without onnxruntime 0.97 to 1.01."""

_HOPELESS = 10.0
"""A model that takes this multiple of the tuned one has a single round: an untuned ResNet-18 takes
2 s a call."""

_HOPELESS_SECS = 1.0
"""A first call that takes longer, and that multiple, is the only one: it is no hiccup."""

_SEED = 7


class Models:
    """Compares whole models; implements `ports.handler.ModelHandler`."""

    def compare(self, tuned: str, untuned: str, onnx: str | None, threads: int) -> Comparison:
        """See `ModelHandler.compare`."""
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
) -> dict[str, list[float]]:
    """Return the seconds of a call by contestant, in five rounds, fewer for slow models.

    Args:
        timers: Return the seconds of one call, by contestant; `TUNED` is one of them.
        first_secs: Seconds of the first call, which is slow. It is all that a hopelessly slow
            untuned model needs.

    Returns:
        A sample a round.
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
    return samples


def _turns(samples: Sequence[float], tuned: Sequence[float]) -> int:
    """Return the number of rounds of a contestant: 3 where calls are slow, 1 where hopeless."""
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
