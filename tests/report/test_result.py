from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner.report.result import Result, TaskResult
from chameleon_tuner.report.run import closing_lines, write_report


def task(name: str, **changes: Any) -> TaskResult:
    made = TaskResult(
        name=name,
        weight=1,
        flops=1e6,
        untuned_us=100.0,
        best_us=10.0,
        trials=16,
        configuration={"sketch": 0, "indices": []},
        decisions=[],
        refused=(),
    )
    return replace(made, **changes)


def untuned(name: str, **changes: Any) -> TaskResult:
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
        trials={"attempted": 48, "measured": 40, "censored": 0, "failed": {"build_error": 8}},
        seconds={"total": 100.0, "build": 61.0, "run": 30.0, "fit": 0.5, "other": 8.5},
        latency_ms={"untuned": 1767.0, "tuned": 9.12},
        verified=True,
        errors={"untuned": 2e-7},
        tasks=[task("conv"), untuned("pool", trials=0)],
        folder=tmp_path,
    )


def test_the_closing_summary(result: Result) -> None:
    assert closing_lines(result, recorded=32) == [
        "net: 9.12 ms tuned, 1,767 ms untuned: 194x as fast",
        "verified: its outputs agree with the untuned model's "
        "(largest difference 2.0e-07 of the largest output)",
        "48 trials (32 of them in an earlier run): 40 measured, 8 build error",
        "1:40 in all: building 61%, running 30%, all else 8.5%, fitting 0.5%, exploring 0%, "
        "sampling 0%",
        "1 of 2 kernels stay untuned:",
        "  pool: the budget had no trials for it",
        f"everything is in {result.folder}/, read {result.folder}/report.md",
        f"next: chameleon run {result.folder} --bench",
    ]


def test_nothing_is_claimed_that_was_not_measured(result: Result) -> None:
    wrong = replace(result, verified=False, errors={"untuned": 1e-7, "onnxruntime": math.nan})
    assert "NOT VERIFIED" in closing_lines(wrong)[1]
    assert "nan" in closing_lines(wrong)[1]
    assert closing_lines(replace(result, errors={}))[1].startswith("not verified")
    assert "onnxruntime" not in "".join(closing_lines(result))
    slower = replace(result, latency_ms={"untuned": 1.0, "tuned": 1.25, "onnxruntime": 0.5})
    assert closing_lines(slower)[0] == (
        "net: 1.25 ms tuned, 1.00 ms untuned: 0.800x as fast, onnxruntime 0.500 ms"
    )
    assert "untuned:" not in "".join(closing_lines(replace(result, tasks=[task("conv")]))[3:])


def test_reasons_are_given_once_for_all_kernels_that_share_them(result: Result) -> None:
    tasks = [
        *(untuned(f"small{n}", trials=0, best_us=10.0 - n) for n in range(5)),
        untuned("slow", refused=["slower than untuned: 101 us, untuned 100 us", "another"]),
        untuned("broken"),
    ]
    assert closing_lines(replace(result, tasks=tasks))[4:-2] == [
        "7 of 7 kernels stay untuned:",
        "  slow: slower than untuned: 101 us, untuned 100 us",
        "  broken: none of 16 candidates could be built and run",
        "  small0, small1, small2 and 2 more: the budget had no trials for it",
    ]


def test_the_report(result: Result) -> None:
    write_report(result)
    report = (result.folder / "report.md").read_text()
    assert "**9.12 ms tuned, 1,767 ms untuned: 194x as fast**" in report
    assert (
        "| `conv` |    direct |     1 |        "
        "100 |     10.0 |    10.0x |     100 |     16 |  9.1% |" in report
    )
    assert (
        "| `pool` |    direct |     1 |        "
        "100 |  untuned |        - |    10.0 |      0 |   91% |" in report
    )
    assert "- `pool`: the budget had no trials for it" in report
    assert "| build error |      8 |" in report
    assert "| build    |    61.0 |   61% |" in report


def test_the_report_says_how_to_use_it_where_the_backend_does(result: Result) -> None:
    write_report(result, ["Call `it`."])
    assert "\n## Use\n\nCall `it`.\n\n## Made with\n" in (result.folder / "report.md").read_text()
    write_report(result)
    assert "## Use" not in (result.folder / "report.md").read_text()
