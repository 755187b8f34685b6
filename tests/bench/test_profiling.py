from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from chameleon_tuner.bench.profiling import KernelProfile, MachineLimits, Profile, profile
from chameleon_tuner.cli import app, main
from chameleon_tuner.report.profile import HEADING, lines, roofline
from chameleon_tuner.report.style import styled


def made() -> Profile:
    return Profile(
        model="tiny",
        machine="Some CPU",
        threads=2,
        latency_us=1000.0,
        kernels=[
            KernelProfile("conv", 3, 600.0, 500.0, 6e7, 3_000_000),
            KernelProfile("pool", 1, 300.0, 300.0, 0.0, 1_500_000),
        ],
        limits=MachineLimits(200.0, 10.0),
        rounds=15,
    )


def test_a_kernel_under_the_roof() -> None:
    conv, pool = made().kernels
    assert (conv.gflops, conv.gbytes, conv.intensity) == (100.0, 5.0, 20.0)
    assert (pool.gflops, pool.intensity) == (0.0, 0.0)
    assert [made().limits.attainable_gflops(x) for x in (1.0, 20.0, 50.0)] == [10.0, 200.0, 200.0]
    assert made().kernels_us == 900.0


def test_lines_for_the_terminal() -> None:
    title, _, conv, pool, *notes = lines(made())
    assert title == "tiny on 2 threads of Some CPU, medians of 15 rounds"
    assert conv.split() == ["conv", "3", "600", "67%", "500", "1.20", "100", "50%", "5.00", "50%"]
    assert pool.split() == ["pool", "1", "300", "33%", "300", "1.00", "-", "-", "5.00", "50%"]
    assert notes[0] == (
        "a call of the network takes 1,000 us; its kernels 900 us of that (90%), isolated 800 us"
    )


def test_the_roofline_has_the_kernels_that_compute() -> None:
    with styled():
        axes = roofline(made()).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1"]
    ((x, y),) = axes.collections[0].get_offsets().tolist()
    assert (x, y) == (20.0, 100.0)


def test_nothing_that_computes_is_no_error() -> None:
    idle = Profile("m", "c", 2, 10.0, [made().kernels[1]], MachineLimits(200.0, 10.0), 3)
    with styled():
        assert not roofline(idle).axes[0].collections


def test_a_tuned_network(tuned_folder: Path) -> None:
    """Every kernel of it, with what the summary knows of it; a transpose may become a view."""
    found = profile(tuned_folder, rounds=3, seed=0)
    summary = json.loads((tuned_folder / "summary.json").read_text())
    known = {name: task["weight"] for task in summary["tasks"] for name in task["kernels"]}
    assert all(kernel.calls <= known[kernel.name] for kernel in found.kernels)
    flops = sum(task["weight"] * task["flops"] for task in summary["tasks"])
    assert sum(kernel.flops for kernel in found.kernels) == pytest.approx(flops)
    assert all(kernel.bytes > 0 for kernel in found.kernels)
    assert all(kernel.network_us > 0 and kernel.isolated_us > 0 for kernel in found.kernels)
    assert found.kernels == sorted(found.kernels, key=lambda kernel: -kernel.network_us)


def test_the_command(tuned_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tuned_folder, tmp_path / "copy"))
    for _ in range(2):  # a second time replaces the first
        result = CliRunner().invoke(app.chameleon, ["profile", str(copy), "--rounds", "3"])
        assert result.exit_code == 0
    assert f"{copy}/profile.json has the figures" in result.output
    written = json.loads((copy / "profile.json").read_text())
    assert {"kernels", "limits", "latency_us", "kernels_us"} <= set(written)
    assert (copy / "report.md").read_text().count(HEADING) == 1
    assert ">Roofline</h2>" in (copy / "report.html").read_text()
    assert (copy / "profile.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "holds no tuned library"),
        (["nowhere", "--rounds", "2"], "--rounds 2: at least 3"),
        (["nowhere", "--seed", "-1"], "a seed is not negative"),
    ],
)
def test_bad_input(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *words]) == 2
    assert said in capfd.readouterr().err
