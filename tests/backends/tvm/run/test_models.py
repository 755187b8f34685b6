"""The clock of a comparison of whole models; `app/test_deploy.py` has real ones."""

from __future__ import annotations

import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.run.models import TUNED, interleaved
from chameleon_tuner.ports.handler import Comparison


def test_what_is_hopeless_or_slow_is_timed_in_fewer_rounds() -> None:
    secs = {TUNED: 0.5, "untuned": 6.0, "onnxruntime": 0.1}
    asked: list[str] = []

    def timer(name: str) -> float:
        asked.append(name)
        return secs[name]

    timers = {name: lambda name=name: timer(name) for name in secs}
    samples = interleaved(timers, dict.fromkeys(secs, 1.0))
    assert samples == {TUNED: [0.5] * 3, "untuned": [6.0], "onnxruntime": [0.1] * 5}
    assert Comparison(samples, {}).latency_secs == secs
    assert [asked.count(name) for name in secs] == [3, 1, 5]


@pytest.mark.parametrize(
    ("first_secs", "runs", "found"),
    [
        ({TUNED: 0.05, "untuned": 1.6}, 0, 1.6),
        ({TUNED: 0.2, "untuned": 1.9}, 5, 0.1),  # not so slow
        ({TUNED: 0.001, "untuned": 0.9}, 5, 0.1),  # it may have been a hiccup
    ],
)
def test_who_was_hopeless_in_the_first_call_is_not_called_again(
    first_secs: dict[str, float], runs: int, found: float
) -> None:
    asked = []

    def untuned() -> float:
        asked.append("untuned")
        return 0.1

    timers = {TUNED: lambda: 0.02, "untuned": untuned, "onnxruntime": lambda: 0.03}
    samples = interleaved(timers, {**first_secs, "onnxruntime": 9.0})
    assert len(asked) == runs
    assert samples == {
        TUNED: [0.02] * 5,
        "untuned": [found] * max(1, runs),
        "onnxruntime": [0.03] * 5,
    }
    assert Comparison(samples, {}).latency_secs == {
        TUNED: 0.02,
        "untuned": found,
        "onnxruntime": 0.03,
    }
