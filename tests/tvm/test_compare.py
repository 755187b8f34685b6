"""The clock of a comparison of whole models; `tests/test_finish.py` has real ones."""

from __future__ import annotations

import chameleon_tuner.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.tvm.compare import TUNED, interleaved


def test_what_is_hopeless_or_slow_is_timed_in_fewer_rounds() -> None:
    secs = {TUNED: 0.5, "untuned": 6.0, "onnxruntime": 0.1}
    asked: list[str] = []

    def timer(name: str) -> float:
        asked.append(name)
        return secs[name]

    assert interleaved({name: lambda name=name: timer(name) for name in secs}) == secs
    assert [asked.count(name) for name in secs] == [3, 1, 5]
