"""`torch.compile(backend="chameleon")`: right, found again, and eager where it must be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.system.files import user_cache
from chameleon_tuner.torch import backend as chameleon
from chameleon_tuner.torch import dynamo, kept, parts
from chameleon_tuner.torch.dynamo import DEFAULTS, EagerWarning, checked

NETWORK = '''
import torch

class Network(torch.nn.Module):
    """Parameters, buffers, a plain tensor, and outputs of every kind."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 8, 3)
        self.norm = torch.nn.BatchNorm2d(8)
        self.register_buffer("scale", torch.full((8, 1, 1), 2.0))
        self.plain = torch.ones(8, 1, 1)

    def forward(self, x, *, shift=1.0):
        y = torch.relu(self.norm(self.convolution(x))) * self.scale + self.plain * shift
        return {"image": y, "count": x.shape[0], "rest": (y.mean(), None, x)}
'''
namespace: dict[str, Any] = {}
exec(NETWORK, namespace)  # noqa: S102 - the same text runs in another process
Network = namespace["Network"]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has its own compilations, hears every warning, and gains what it tunes."""
    dynamo._SAID.clear()
    monkeypatch.setattr(kept, "_NOT_WORTH", float("inf"))
    yield
    torch.compiler.reset()


def compiled(module: Any, **options: Any) -> Any:
    return torch.compile(module.eval(), backend=chameleon, options={"trials": 2, **options})


def tuned_folders() -> set[Path]:
    cache = user_cache()
    assert cache is not None
    return {path.parent for path in (cache / "torch").glob("*/returned.json")}


def same(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_module_returns_what_it_returned_before() -> None:
    module, x = Network().eval(), torch.randn(1, 3, 18, 18)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", EagerWarning)
        expected, found = module(x), compiled(module)(x)
    same([found["image"], found["rest"][0]], [expected["image"], expected["rest"][0]])
    assert found["count"] == 1
    assert found["rest"][1] is None
    assert found["rest"][2] is x
    with torch.inference_mode():
        same([compiled(module)(x)["image"]], [expected["image"]])


def test_another_process_finds_what_was_tuned() -> None:
    script = f"""{NETWORK}
import torch._dynamo
assert "chameleon" in torch._dynamo.list_backends()
x = torch.arange(3 * 18 * 18).reshape(1, 3, 18, 18) / 1000
with torch.no_grad():
    module = Network().eval()
    compiled = torch.compile(module, backend="chameleon", options={{"trials": 2}})
    print((compiled(x)["image"] - module(x)["image"]).abs().max().item() < 1e-4)
"""
    with torch.no_grad():
        compiled(Network())(torch.randn(1, 3, 18, 18))
    before = {path: (path / "records.db").stat().st_mtime for path in tuned_folders()}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    assert {path: (path / "records.db").stat().st_mtime for path in tuned_folders()} == before


def test_another_weight_is_another_graph() -> None:
    module, x = Network().eval(), torch.randn(1, 3, 18, 18)
    with torch.no_grad():
        compiled(module)(x)
        before = tuned_folders()
        module.convolution.weight[0] += 1
        torch.compiler.reset()
        same([compiled(module)(x)["image"]], [module(x)["image"]])
    assert len(tuned_folders() - before) == 1


def test_a_weight_that_changes_is_not_forgotten() -> None:
    module, x = Network().eval(), torch.randn(1, 3, 18, 18)
    with torch.no_grad():
        made = compiled(module)
        made(x)
        module.norm.running_mean += 1
        with pytest.warns(EagerWarning, match="a weight has changed since the graph was tuned"):
            found = made(x)
        same([found["image"]], [module(x)["image"]])


def test_gradients_are_those_of_pytorch() -> None:
    module, x = Network().eval(), torch.randn(1, 3, 18, 18)
    module(x)["image"].square().sum().backward()
    expected = module.convolution.weight.grad.clone()
    module.zero_grad()
    with pytest.warns(EagerWarning, match="gradients are recorded; call it within torch.no_grad"):
        compiled(module)(x)["image"].square().sum().backward()
    torch.testing.assert_close(module.convolution.weight.grad, expected)


def test_shapes_that_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamo, "MOST_SHAPES", 1)
    module = Network().eval()
    made = compiled(module)
    with torch.no_grad():
        for batch in (1, 2, 2):  # the second has a dynamic graph
            x = torch.randn(batch, 3, 18, 18)
            found = made(x)
            same([found["image"]], [module(x)["image"]])
            assert found["count"] == batch
        x = torch.randn(4, 3, 18, 18)
        with pytest.warns(EagerWarning, match="tuned for 1 shapes: others run in PyTorch"):
            found = made(x)
        same([found["image"]], [module(x)["image"]])


# -- what is cut, or stays in PyTorch


@torch.library.custom_op("chameleon_tests::sine", mutates_args=())
def sine(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.sin(x.numpy()))


@sine.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Between(torch.nn.Module):
    """An operator of the user's own between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = sine(torch.relu(self.first(x)))
        return torch.relu(self.second(y)) + 1, y


def test_a_graph_is_cut_at_an_operator_that_nobody_knows() -> None:
    module, before = Between().eval(), tuned_folders()
    made = compiled(module)
    with torch.no_grad():
        x = torch.randn(1, 3, 10, 10)
        with pytest.warns(EagerWarning, match="stay in PyTorch.*chameleon_tests.sine"):
            same(made(x), module(x))
        x = torch.randn(1, 3, 10, 10)
        same(made(x), module(x))
    assert len(tuned_folders() - before) == 2


class Dropping(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, 0.5, training=True)


class Counting(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x + self.count


class Filling(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.add_(1)
        return x * 2


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Dropping(), "makes random numbers"),
        (Counting(), "changes its buffer"),
        (Filling(), "changes its input"),
    ],
    ids=["random numbers", "a buffer that changes", "an input that changes"],
)
def test_what_stays_in_pytorch_says_why(module: torch.nn.Module, why: str) -> None:
    made = torch.compile(module, backend=chameleon, options={"trials": 2})
    with torch.no_grad():
        torch.manual_seed(0)
        expected = [module(torch.ones(4)) for _ in range(2)]
        if isinstance(module, Counting):
            module.count.zero_()
        torch.manual_seed(0)
        with pytest.warns(EagerWarning, match=why):
            found = [made(torch.ones(4)) for _ in range(2)]
    same(found, expected)


class View(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(x), x[0]


def test_a_view_of_an_input_stays_one() -> None:
    made = compiled(View())
    with torch.no_grad():
        x = torch.ones(2, 3)
        with pytest.warns(EagerWarning, match="it returns a view of an argument"):
            _, view = made(x)
        view.add_(1)
        assert x[0].tolist() == [2, 2, 2]


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


def test_modules_of_a_class_have_their_own_weights() -> None:
    """PyTorch compiles a graph once for all of them."""
    modules = [Block().eval() for _ in range(2)]
    before, x = tuned_folders(), torch.randn(2, 6)
    for module in modules:
        module.compile(backend=chameleon, options={"trials": 2})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", EagerWarning)
        for module in (*modules, *modules):
            same([module(x)], [module.forward(x)])
    assert len(tuned_folders() - before) == 2


def test_autocast_is_another_graph() -> None:
    module, x = torch.nn.Linear(7, 3).eval(), torch.randn(2, 7)
    made = compiled(module)
    with torch.no_grad():
        assert made(x).dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert made(x).dtype == torch.bfloat16
        assert made(x).dtype == torch.float32


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    module, x = torch.nn.Linear(9, 3).eval(), torch.randn(2, 9)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", EagerWarning)
        same([compiled(module)(x)], [module(x)])


def test_another_device_stays_in_pytorch() -> None:
    graph = torch.fx.symbolic_trace(torch.nn.ReLU())
    with pytest.warns(EagerWarning, match="on meta; only the CPU is supported"):
        made = chameleon(graph, [torch.ones(3, device="meta")])
    assert made(torch.ones(3, device="meta")).shape == (3,)


def test_a_fault_of_somebody_else_leaves_the_graph_in_pytorch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("of somebody else")

    monkeypatch.setattr(dynamo, "tuned", broken)
    module, x = torch.nn.Linear(3, 3), torch.randn(2, 3)
    with torch.no_grad(), pytest.warns(EagerWarning, match="ZeroDivisionError: of somebody else"):
        same([compiled(module)(x)], [module(x)])


def test_what_has_nothing_to_cut() -> None:
    frozen = dynamo.Frozen(torch.relu, [torch.ones(3)], [0])
    with pytest.raises(parts.NothingToCutError):
        parts.in_parts(frozen, [torch.ones(3)], {}, print)


def test_what_is_slower_stays_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_NOT_WORTH", 0.0)
    module, x = torch.nn.Linear(5, 3), torch.randn(2, 5)
    with torch.no_grad():
        for _ in range(2):  # it is not compared again
            with pytest.warns(EagerWarning, match=r"nothing is gained \(.* ms tuned, .* ms in Py"):
                same([compiled(module)(x)], [module(x)])
            dynamo._SAID.clear()
            torch.compiler.reset()
            monkeypatch.setattr(kept, "_slower", None)


# -- options


def test_modes_and_options() -> None:
    assert checked(None, {}) == DEFAULTS
    assert checked("max-autotune", {"seed": 3}) == {"effort": "full", "seed": 3}
    assert checked("max-autotune", {"time_budget": "1m"}) == {"time_budget": "1m"}
    assert checked(None, {"winograd": False}) == {**DEFAULTS, "winograd": False}
    with pytest.raises(UsageError, match="unknown option 'efort'; did you mean 'effort'"):
        checked(None, {"efort": "quick"})
    with pytest.raises(UsageError, match="unknown mode 'fast'; known: default"):
        checked("fast", {})


def test_a_damaged_folder_is_tuned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this is in other processes: who has loaded a file dies where it is cut."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    script = """
import torch
torch.manual_seed(0)
module = torch.nn.Linear(4, 3).eval()
with torch.no_grad():
    made = torch.compile(module, backend="chameleon", options={"trials": 2})
    x = torch.randn(2, 4)
    print(torch.allclose(made(x), module(x), atol=1e-5))
"""
    for damaged in (False, True):
        for folder in tuned_folders():
            for path in folder.iterdir():
                if path.is_file() and path.name != "records.db":
                    os.truncate(path, path.stat().st_size // 2)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.stdout == "True\n", done.stderr
        [folder] = tuned_folders()
        assert json.loads((folder / "returned.json").read_text())["key"] == folder.name, damaged
