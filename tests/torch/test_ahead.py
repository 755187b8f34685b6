"""A module tuned ahead of time: nested arguments and outputs, and a folder that is found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from chameleon_tuner import Session
from chameleon_tuner.core.errors import LibraryError, ModelError, UsageError
from chameleon_tuner.torch import compile as ahead
from chameleon_tuner.torch import kept


@dataclass
class Found:
    score: torch.Tensor
    details: dict[str, Any]


class Module(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(8, 4)

    def forward(self, given: dict[str, torch.Tensor], *, scale: float) -> Found:
        score = self.linear(given["x"]) * scale
        return Found(score, {"both": (score + 1, score), "scale": scale, "none": None})


EXAMPLE = {"x": torch.randn(2, 8)}


@pytest.fixture(autouse=True, scope="module")
def _gains() -> Iterator[None]:
    """What is tuned here is too small to gain anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_NOT_WORTH", float("inf"))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ahead") / "tuned"
    ahead(Module().eval(), (EXAMPLE,), {"scale": 2.0}, out=folder, trials=2)
    return folder


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Any:
    return ahead(Module().eval(), (EXAMPLE,), {"scale": 2.0}, out=folder, trials=2)


def test_it_is_found_in_its_folder(folder: Path, compiled: Any) -> None:
    assert compiled.folder == folder
    before = (folder / "records.db").stat().st_mtime
    ahead(Module().eval(), (EXAMPLE,), {"scale": 2.0}, out=folder, trials=2)
    assert (folder / "records.db").stat().st_mtime == before


def test_nested_outputs_come_back_as_they_were(compiled: Any) -> None:
    given = {"x": torch.randn(2, 8)}
    with torch.no_grad():
        expected, found = Module()(given, scale=2.0), compiled(given, scale=2.0)
    assert isinstance(found, Found)
    torch.testing.assert_close(found.score, expected.score)
    torch.testing.assert_close(found.details["both"][0], expected.details["both"][0])
    assert found.details["both"][1] is found.score
    assert (found.details["scale"], found.details["none"]) == (2.0, None)


def test_other_arguments_are_refused(compiled: Any) -> None:
    with pytest.raises(UsageError, match=r"compiled for the argument 2\.0, not 3\.0"):
        compiled(EXAMPLE, scale=3.0)
    with pytest.raises(UsageError, match="not those that the module was compiled for"):
        compiled(EXAMPLE["x"], scale=2.0)
    with pytest.raises(LibraryError, match=r"has shape \(3, 8\), not \(2, 8\)"):
        compiled({"x": torch.randn(3, 8)}, scale=2.0)


def test_its_folder_is_one_of_chameleon_tune(compiled: Any) -> None:
    [score, shifted] = Session(compiled.folder).run(None, {"free_0": EXAMPLE["x"]})
    torch.testing.assert_close(torch.from_numpy(shifted), torch.from_numpy(score) + 1)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (torch.nn.Linear(8, 4), "in training mode: call its method eval"),
        (torch.nn.Identity().eval(), "it computes no tensor"),
        (
            torch.nn.Linear(8, 4).bfloat16().eval(),
            "PyTorch does not run it: mat1 and mat2 must have",
        ),
    ],
)
def test_what_cannot_be_tuned_is_an_error(
    module: torch.nn.Module, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=why):
        ahead(module, (torch.randn(2, 8),), out=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


class Plain(torch.nn.Module):
    """A module with a tensor that is neither a parameter nor a buffer."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.plain = torch.full((8,), value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * self.plain


def test_a_plain_tensor_is_part_of_the_module() -> None:
    x = torch.ones(2, 8)
    for value in (2.0, 3.0):
        assert (ahead(Plain(value).eval(), (x,), trials=2)(x) == value).all()


class Difference(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor, *, by: float, to: int) -> torch.Tensor:
        return torch.relu(a - b) * by + to


def test_an_example_that_is_there_twice_is_two_arguments() -> None:
    x = torch.randn(2, 8)
    compiled = ahead(Difference().eval(), (x, x), {"to": 3, "by": 2.0}, trials=2)
    a, b = torch.randn(2, 8), torch.randn(2, 8)
    torch.testing.assert_close(compiled(a, b, by=2.0, to=3), torch.relu(a - b) * 2 + 3)
    for wrong in ({"by": 2, "to": 3}, {"by": 2.0, "to": 3.0}, {"by": x, "to": 3}):
        with pytest.raises(UsageError, match="compiled for the argument"):
            compiled(a, b, **wrong)
    with pytest.raises(UsageError, match="compiled for the argument"):
        compiled(a, 2.0, by=2.0, to=3)


def test_arguments_of_other_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="an argument is a complex; give tensors"):
        ahead(Plain(1.0).eval(), (1j,))
