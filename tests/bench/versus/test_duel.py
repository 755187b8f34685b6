"""The rounds, with real processes: ours, onnxruntime, and runtimes that fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from chameleon_tuner.bench.versus.duel import DuelOptions, duel, in_turn, reason, version
from chameleon_tuner.bench.versus.runners import Runner
from chameleon_tuner.bench.versus.runtimes import INSTALL, RUNTIMES, Runtime
from chameleon_tuner.core.errors import LibraryError, ModelError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Failed
from chameleon_tuner.testing.made import tiny_network

QUICK = DuelOptions(rounds=3, round_secs=0.01)


REFUSING = HandlerEntry[Runner]("odd_runners", "Refusing")


def odd(name: str) -> Runtime[Runner]:
    return Runtime(name.lower(), (), HandlerEntry("odd_runners", name), "numpy")


@pytest.fixture(autouse=True)
def _processes_find_odd_runners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_the_order_is_reversed_every_second_round() -> None:
    assert [in_turn("abc", number) for number in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


@pytest.mark.parametrize(
    ("message", "fatal", "said"),
    [
        ("ValueError: no", False, "ValueError: no"),
        ("RuntimeError: somewhere\n  no such operator\n\n", False, "no such operator"),
        ("", False, "build error"),
        ("exit 7 during open: first\nlast", True, "build error: last"),
        ("C++ error: x.h: No such file\n  #include <x.h>\n   ^~~~~~~\n", False, "#include <x.h>"),
        ("E: no compiler\n\nSet TORCHDYNAMO_VERBOSE=1 for more", False, "E: no compiler"),
    ],
)
def test_reasons_are_one_line(message: str, fatal: bool, said: str) -> None:
    assert reason(Failed(Status.BUILD_ERROR, message, fatal)) == said


def test_versions_of_packages() -> None:
    assert version(Runtime("", (), REFUSING, "click")).count(".") >= 1
    assert version(Runtime("", (), REFUSING, "no-such-distribution")) == "unknown"


def test_who_fails_is_out_and_the_others_go_on(tuned_folder: Path, tiny_onnx: Path) -> None:
    pytest.importorskip("onnxruntime")
    said: list[str] = []
    absent = Runtime("absent", ("no_such_package",), REFUSING, "numpy")
    odds = [odd(name) for name in ("Refusing", "Dying", "Tiring", "Differing")]
    others = [absent, *odds, RUNTIMES["onnxruntime"]]
    found = duel(tiny_onnx, tuned_folder, others, QUICK, said.append)
    names = [runtime.name for runtime in found.runtimes]
    assert names == ["chameleon", "differing", "onnxruntime"]
    assert [(broken.name, broken.reason) for broken in found.failed] == [
        ("refusing", "no operator Grizzly"),
        ("dying", "crashed: last words"),
        ("tiring", "RuntimeError: enough"),
    ]
    assert [(missing.name, missing.install) for missing in found.missing] == [("absent", INSTALL)]
    ours, differing, right = found.runtimes
    assert (ours.error, ours.ratio) == (None, None)
    assert differing.differs
    assert not right.differs
    assert not found.of_another_model
    assert right.ratio == pytest.approx(ours.median_ms / right.median_ms)
    assert all(r.interval_ms[0] <= r.median_ms <= r.interval_ms[1] for r in found.runtimes)
    assert said == [*(f"opening {runtime.name}" for runtime in others[1:]), "timing 3 rounds"]


def test_the_folder_of_another_model(tuned_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    other = tmp_path / "other.onnx"
    onnx.save(tiny_network(seed=1), other)
    found = duel(other, tuned_folder, [RUNTIMES["onnxruntime"]], QUICK, lambda text: None)
    assert found.of_another_model


@pytest.mark.parametrize("name", ["openvino", "torch.compile"])
def test_the_other_runtimes_compute_the_same(
    name: str, tuned_folder: Path, tiny_onnx: Path
) -> None:
    if not RUNTIMES[name].installed():
        pytest.skip(f"{name} is not installed")
    found = duel(tiny_onnx, tuned_folder, [RUNTIMES[name]], QUICK, lambda text: None)
    assert not found.failed
    assert [runtime.name for runtime in found.runtimes] == ["chameleon", name]
    assert not found.runtimes[1].differs


def test_nobody_else_is_there(tuned_folder: Path, tiny_onnx: Path) -> None:
    found = duel(tiny_onnx, tuned_folder, [odd("Refusing")], QUICK, lambda text: None)
    assert [runtime.name for runtime in found.runtimes] == ["chameleon"]
    assert len(found.failed) == 1


def test_our_library_is_damaged(tuned_folder: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tuned_folder, tmp_path / "copy"))
    (copy / "model.params").write_bytes(b"nothing")
    with pytest.raises(LibraryError, match=r"model\.params is damaged \(it has 7 bytes and"):
        duel(tiny_onnx, copy, [], QUICK, lambda text: None)


def test_nothing_is_started_for_what_is_not_there(tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        duel(tmp_path / "missing.onnx", tmp_path, [], QUICK, lambda text: None)
    with pytest.raises(LibraryError, match="holds no tuned library"):
        duel(tiny_onnx, tmp_path, [], QUICK, lambda text: None)
