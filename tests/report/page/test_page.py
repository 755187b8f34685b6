"""The page of a run: whole, self-contained, safe, and never in the way of a run."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.bench.profiling import KernelProfile, MachineLimits, Profile
from chameleon_tuner.cli import app, main
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.report.page import kernels, renew_page, try_to_write_page, write_page
from chameleon_tuner.report.page import page as pages
from chameleon_tuner.report.profile import write_profile
from chameleon_tuner.report.result import PartResult, Result, TaskResult, VariantResult
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, make_outcome

Read = Callable[[str], Any]
HOSTILE = '<script>alert("$x_$")</script>--><b>" onload="x" style="fill: #222222'
MOST_BYTES = 500_000


def task(name: str, **changes: Any) -> TaskResult:
    made = TaskResult(
        name=name,
        weight=2,
        flops=1e6,
        untuned_us=100.0,
        best_us=10.0,
        trials=16,
        configuration={"sketch": 0, "indices": []},
        decisions=[],
        refused=(),
        workloads=[name],
    )
    return replace(made, **changes)


def kept(name: str, **changes: Any) -> TaskResult:
    return task(name, **{"best_us": 100.0, "configuration": None, "decisions": None, **changes})


@pytest.fixture
def result(tmp_path: Path) -> Result:
    return Result(
        model="net",
        target={"kind": "llvm"},
        recipe="chameleon",
        seed=0,
        threads=2,
        versions={"apache-tvm": "0.27"},
        trials={"attempted": 48, "measured": 40, "censored": 3, "failed": {"build_error": 5}},
        seconds={"total": 100.0, "build": 61.0, "run": 30.0, "fit": 0.5, "other": 8.5},
        latency_ms={"tuned": 9.12, "onnxruntime": 18.24},
        verified=True,
        errors={"onnxruntime": 2e-7},
        tasks=[task("conv"), kept("pool", trials=0)],
        folder=tmp_path,
    )


def recorded(result: Result, *outcomes: Outcome) -> None:
    """Write records of searches of all kernels."""
    with RecordStore.open(result.folder / "records.db") as store:
        run = store.begin(RUN)
        for one in result.tasks:
            store.append(run, Workload(one.name, one.name, ""), ENVIRONMENT, list(outcomes))


def profiled(result: Result) -> None:
    """Add a profile of all kernels to the folder."""
    (result.folder / "manifest.json").write_text("{}")
    timed = [KernelProfile(one.name, 2, 30.0, 20.0, 1e6, 1000) for one in result.tasks]
    limits = MachineLimits(200.0, 10.0)
    found = Profile("net", "Some CPU", 2, 1000.0, timed, limits, 3)
    write_profile(found, result.folder, "chameleon profile net/")


def words(page: str, read: Read) -> str:
    """Return the text of a page without markup."""
    return " ".join(" ".join(read(page).text).split())


def test_the_page_of_a_run(tuned_folder: Path, read: Read) -> None:
    page = (tuned_folder / "report.html").read_text()
    summary = json.loads((tuned_folder / "summary.json").read_text())
    said = words(page, read)
    assert "tiny tuned by Chameleon" in said
    assert "verified: its outputs agree with onnxruntime's" in said
    assert all(one["name"] in said for one in summary["tasks"])
    for heading in ("Latency of a call", "What runs where", "Kernels", "The search"):
        assert heading in said
    assert f"of tuning, {summary['trials']['attempted']} trials" in said
    assert "Roofline" not in said  # nobody has measured the limits of the machine
    assert len(page) < MOST_BYTES


def test_it_refers_to_nothing_but_itself(tuned_folder: Path, read: Read) -> None:
    page = (tuned_folder / "report.html").read_text()
    reader = read(page)
    assert not reader.tags & {"script", "link", "iframe", "img", "object"}
    assert all(reference.startswith("#") for reference in reader.references)
    assert {reference[1:] for reference in reader.references} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", page))
    assert "@import" not in page


def test_every_chart_has_text_that_can_be_selected_and_a_table(result: Result, read: Read) -> None:
    recorded(result, make_outcome(1), make_outcome(2))
    profiled(result)
    page = pages.page(result)
    charts = re.findall(r'role="img" aria-label="([^"]*)">(.*?)</div>', page, re.DOTALL)
    assert len(charts) == 2 * len({label for label, _ in charts}) == 4  # wide and narrow
    assert all("<text" in svg for _, svg in charts)
    assert page.count("<details><summary>Its numbers") == 2
    assert page.count("<details><summary>Their numbers") == 1
    assert "var(--after)" in page
    assert "fill: #d55e00" not in page  # it would not follow the reader's light or dark


def test_the_same_folder_gives_the_same_page(tuned_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tuned_folder, tmp_path / "copy"))
    before = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    done = CliRunner().invoke(app.chameleon, ["report", str(copy)])
    assert (done.exit_code, done.output) == (0, f"open {copy}/report.html\n")
    assert (copy / "report.html").read_bytes() == before


# -- safety


def test_names_are_text_and_never_markup(result: Result, read: Read) -> None:
    failed = make_outcome(3, status=Status.RUN_ERROR, samples=(), message=HOSTILE)
    hostile = replace(
        result,
        model=HOSTILE,
        target={HOSTILE: HOSTILE},
        recipe=HOSTILE,
        versions={HOSTILE: HOSTILE},
        trials={"attempted": 1, "measured": 0, "censored": 0, "failed": {HOSTILE: 1}},
        latency_ms={"tuned": 1.0, HOSTILE: 2.0},
        errors={HOSTILE: 0.0},
        tasks=[task(HOSTILE, algorithm=HOSTILE), kept(f"{HOSTILE}2", refused=[HOSTILE])],
        absent={HOSTILE: HOSTILE},
        parts=[PartResult(HOSTILE, [HOSTILE], 0.5, [HOSTILE])],
        variants=[VariantResult(HOSTILE, {HOSTILE: 1.0}, HOSTILE, HOSTILE, True, {}, [])],
    )
    recorded(hostile, make_outcome(1), failed)
    profiled(hostile)
    page = pages.page(hostile)
    reader = read(page)
    assert not reader.tags & {"script", "b"}
    assert " onload=" not in re.sub(r">[^<]*<", "><", page)
    assert words(page, read).count(HOSTILE) > 15


def test_a_colour_in_a_text_of_a_chart_is_a_text(result: Result, read: Read) -> None:
    named = replace(result, latency_ms={"tuned": 1.0, "fill: #222222": 1.5})
    recorded(named, make_outcome(1))
    assert words(pages.page(named), read).count("fill: #222222, whole model") == 2


# -- whatever there is


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": [], "parts": [PartResult("a", ["LSTM", "LSTM"], 0.9, ["no such operator"])]},
        {"tasks": [], "latency_ms": {"onnxruntime": 1.0}, "deployed": "onnxruntime"},
        {"latency_ms": {"tuned": 1.0, "onnxruntime": 0.5}, "deployed": "onnxruntime"},
        {"latency_ms": {"tuned": 9.0, "untuned": 1767.0}, "deployed": "untuned"},
        {"latency_ms": {"tuned": 9.0}, "errors": {}, "verified": False},
        {"tasks": [task("conv", untuned_us=math.inf), kept("p", best_us=math.inf)]},
        {"tasks": [kept("p", best_us=0.0, untuned_us=0.0)]},
        {"trials": {"attempted": 0, "measured": 0, "censored": 0, "failed": {}}, "tasks": []},
        {"seconds": {"total": 0.0}},
        {"target": {}, "versions": {}},
        {"parts": [PartResult("a", [], 1.5, [])]},
    ],
)
def test_whatever_is_missing_is_left_out(
    changes: dict[str, Any], result: Result, read: Read
) -> None:
    made = replace(result, **changes)
    read(pages.page(made))
    recorded(made, make_outcome(1))
    said = words(pages.page(made), read)
    assert "inf" not in said.split()
    assert "nan" not in said.split()


def test_kernels_that_were_not_timed_come_last(result: Result) -> None:
    tasks = [kept("unknown", best_us=math.inf, untuned_us=math.inf), task("a"), task("b", weight=9)]
    rows = kernels.kernel_rows(replace(result, tasks=tasks))
    assert [row.name for row in rows] == ["b", "a", "unknown"]
    assert (rows[-1].before, rows[-1].after) == (None, None)


def test_a_slow_default_does_not_hide_the_kernels(result: Result) -> None:
    tasks = [task("conv", untuned_us=1e6), task("other", best_us=5.0)]
    conv, other = kernels.kernel_rows(replace(result, tasks=tasks))
    assert (conv.before, conv.cut, other.cut) == (1.0, True, True)
    assert conv.after == pytest.approx(1 / 3)
    assert other.after == pytest.approx(1 / 6)


us = st.floats(0, 1e9) | st.just(math.inf)


@given(st.lists(st.tuples(us, us, st.integers(1, 99)), max_size=6))
def test_bars_stay_in_their_boxes(times: list[tuple[float, float, int]]) -> None:
    tasks = [
        task(f"{n}", untuned_us=before, best_us=after, weight=weight)
        for n, (before, after, weight) in enumerate(times)
    ]
    trials = {"attempted": 0, "measured": 0, "censored": 0, "failed": {}}
    made = Result(
        *("net", {}, "chameleon", 0, 2, {}, trials, {"total": 0.0}, {"tuned": 1.0}, True, {}),
        tasks,
        Path(),
    )
    for row in kernels.kernel_rows(made):
        assert all(0 <= share <= 1 for share in (row.before, row.after) if share is not None)
    assert "nan" not in kernels.kernels_sum(made)


def test_a_large_network_has_a_small_page(result: Result, read: Read) -> None:
    names = [f"fused_conv2d{n}_add_relu_strided_slice_multiply_tir_sqrt{n}" for n in range(150)]
    large = replace(result, tasks=[task(name) for name in names])
    recorded(large, *map(make_outcome, range(8)))
    profiled(large)
    page = pages.page(large)
    assert len(page) < MOST_BYTES
    said = words(page, read)
    assert all(name in said for name in names)
    assert "130 more kernels" in said


# -- what was added to the folder


def test_a_profile_is_shown_as_long_as_it_is_of_the_model(result: Result, read: Read) -> None:
    profiled(result)
    assert "net on 2 threads of Some CPU, medians of 3 rounds" in words(pages.page(result), read)
    profile = json.loads((result.folder / "profile.json").read_text())
    for damaged in ({**profile, "kernels": [1]}, {**profile, "limits": None}, [], {}):
        (result.folder / "profile.json").write_text(json.dumps(damaged))
        assert "Roofline" not in words(pages.page(result), read)
    (result.folder / "profile.json").write_text(json.dumps(profile))
    (result.folder / "manifest.json").write_text('{"files": "of a model that was tuned again"}')
    assert "Roofline" not in words(pages.page(result), read)


def test_a_page_is_renewed_where_there_is_one(result: Result) -> None:
    renew_page(result.folder)
    assert not (result.folder / "report.html").exists()
    (result.folder / "report.html").write_text("old")
    renew_page(result.folder)  # the folder has no summary
    assert (result.folder / "report.html").read_text() == "old"
    result.write()
    renew_page(result.folder)
    assert (result.folder / "report.html").read_text() == pages.page(result)


# -- never in the way of a run


def test_a_run_succeeds_without_its_page(
    result: Result, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_page(result)

    def broken(_: Result) -> str:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(pages, "page", broken)
    with caplog.at_level(logging.WARNING):
        try_to_write_page(result)
    assert caplog.messages == ["no report.html: no such luck"]
    assert not (result.folder / "report.html").exists()  # it was of an older run


def test_a_page_that_cannot_be_written_is_no_failure_of_a_run(
    result: Result, caplog: pytest.LogCaptureFixture
) -> None:
    (result.folder / "report.html").mkdir()
    try_to_write_page(result)
    assert "no report.html: " in caplog.text
    assert [path.name for path in result.folder.iterdir()] == ["report.html"]  # and no part of one


# -- the command


@pytest.mark.parametrize("content", [None, "{", '{"model": 1}'])
def test_a_folder_that_is_none(
    content: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    assert main(["report", str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert said == (
        f"error: {tmp_path} holds no summary.json of a run; make one with `chameleon tune`\n"
    )
    assert not (tmp_path / "report.html").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(result: Result, capfd: pytest.CaptureFixture[str]) -> None:
    result.write()
    result.folder.chmod(0o500)
    assert main(["report", str(result.folder)]) == 2
    assert "cannot write into" in capfd.readouterr().err


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the folder is of x86-64")
def test_a_folder_of_the_version_before(tmp_path: Path, read: Read) -> None:
    assets = Path(__file__).parents[2] / "app" / "assets"
    with tarfile.open(assets / "folder-0.1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "folder"
    before = (folder / "records.db").read_bytes()
    assert main(["report", str(folder)]) == 0
    said = words((folder / "report.html").read_text(), read)
    assert "Kernels" in said
    assert "The search" not in said  # its summary does not say which records are whose
    assert (folder / "records.db").read_bytes() == before
