from __future__ import annotations

import pytest

from chameleon_tuner.bench.versus.runtimes import OURS, RUNTIMES, Runtime, chosen
from chameleon_tuner.core.errors import UsageError


def test_chosen_once_each_in_their_order() -> None:
    names = ["torch.compile", "onnxruntime", "torch.compile"]
    assert [runtime.name for runtime in chosen(names)] == ["torch.compile", "onnxruntime"]


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'openvino'.*known: onnxruntime, openvino"):
        chosen(["onnxruntime", "openvin"])


def test_installed_is_looked_up_by_package() -> None:
    assert Runtime("here", ("numpy", "click"), OURS.handler, "").installed()
    assert not Runtime("half", ("numpy", "no_such_package"), OURS.handler, "").installed()
    assert OURS.installed()


def test_every_handler_is_there() -> None:
    for runtime in (OURS, *RUNTIMES.values()):
        assert callable(runtime.handler.factory())
