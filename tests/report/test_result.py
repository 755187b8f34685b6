from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner.core.errors import OutputError
from chameleon_tuner.report.result import PartResult, Result, TaskResult, VariantResult
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


def test_the_page_is_named_where_it_could_be_written(result: Result) -> None:
    (result.folder / "report.html").touch()
    said = f"everything is in {result.folder}/, open {result.folder}/report.html or read report.md"
    assert said in closing_lines(result)


def test_nothing_is_claimed_that_was_not_measured(result: Result) -> None:
    wrong = replace(result, verified=False, errors={"untuned": 1e-7, "onnxruntime": math.nan})
    assert "NOT VERIFIED" in closing_lines(wrong)[1]
    assert "nan" in closing_lines(wrong)[1]
    assert closing_lines(replace(result, errors={}))[1].startswith("not verified")
    assert "onnxruntime" not in "".join(closing_lines(result))
    alone = replace(result, latency_ms={"tuned": 9.12}, errors={}, verified=False)
    assert closing_lines(alone)[:2] == [
        "net: 9.12 ms tuned",
        "not verified: there was nothing to compare its outputs with",
    ]
    assert (alone.baseline, alone.speedup) == ("tuned", 1.0)
    assert "untuned:" not in "".join(closing_lines(replace(result, tasks=[task("conv")]))[3:])


def test_what_runs_the_model_today_is_what_it_is_compared_with(result: Result) -> None:
    faster = replace(result, latency_ms={"tuned": 0.5, "onnxruntime": 0.75, "untuned": 90.0})
    assert closing_lines(faster)[0] == "net: 0.500 ms tuned, 0.750 ms onnxruntime: 1.50x as fast"
    assert (faster.baseline, faster.best_ms, faster.speedup) == ("onnxruntime", 0.5, 1.5)


def test_a_tuned_model_that_is_not_deployed(result: Result) -> None:
    slower = replace(
        result,
        latency_ms={"tuned": 1.25, "onnxruntime": 0.5},
        errors={"onnxruntime": 1e-7},
        deployed="onnxruntime",
        reason="the whole tuned model is not faster than onnxruntime",
    )
    lines = closing_lines(slower)
    assert lines[:2] == [
        "net: 0.500 ms by onnxruntime, which is deployed, 1.25 ms tuned",
        "the tuned model is not deployed: the whole tuned model is not faster than onnxruntime",
    ]
    assert not any("stay untuned" in line for line in lines)
    assert (slower.baseline, slower.best_ms, slower.speedup) == ("onnxruntime", 0.5, 1.0)
    broken = replace(slower, latency_ms={"onnxruntime": 0.5}, errors={}, reason="it crashed")
    assert closing_lines(broken)[0] == "net: 0.500 ms by onnxruntime, which is deployed"


def test_parts_in_onnxruntime_are_named_with_their_share(result: Result) -> None:
    parts = [
        PartResult("a", ["LSTM", "Squeeze"], 0.124, ["TVM has no such operator"]),
        PartResult("b", ["Loop", "If", "If", "NonZero", "Scan"], 0.4, ["needs onnxruntime"]),
    ]
    mixed = replace(result, parts=parts, tasks=[task("conv")])
    assert closing_lines(mixed)[4:8] == [
        "40% of the time in onnxruntime: 2 If, 1 Loop, 1 NonZero and 1 more kind",
        "  needs onnxruntime",
        "12% of the time in onnxruntime: 1 LSTM, 1 Squeeze",
        "  TVM has no such operator",
    ]
    write_report(mixed)
    report = (result.folder / "report.md").read_text()
    assert "\n## Parts in onnxruntime\n\n- 40% of the time in onnxruntime: 2 If" in report
    write_report(result)
    assert "Parts in onnxruntime" not in (result.folder / "report.md").read_text()
    assert mixed.to_json()["parts"][0] == {
        "name": "a",
        "operators": ["LSTM", "Squeeze"],
        "share": 0.124,
        "reasons": ["TVM has no such operator"],
    }


def test_every_variant_of_shapes_has_a_line(result: Result) -> None:
    variants = [
        VariantResult("x=1,3", {"tuned": 1.0, "onnxruntime": 2.0}, "tuned", "", True, {}, []),
        VariantResult("x=2,3", {"onnxruntime": 3.0}, "onnxruntime", "it is slow", True, {}, []),
    ]
    several = replace(result, variants=variants, tasks=[task("conv")])
    lines = [
        "x=1,3: 1.00 ms tuned, 2.00 ms onnxruntime; tuned is deployed",
        "x=2,3: 3.00 ms onnxruntime; onnxruntime is deployed (it is slow)",
    ]
    assert closing_lines(several)[4:6] == lines
    write_report(several)
    report = (result.folder / "report.md").read_text()
    assert all(f"- {line}\n" in report for line in lines)


def test_who_takes_no_part_is_named_with_the_reason(result: Result) -> None:
    absent = replace(result, absent={"onnxruntime": "it has no kernels for it"})
    said = "without onnxruntime: it has no kernels for it"
    assert closing_lines(absent)[4] == said
    write_report(absent)
    assert f"- {said}\n" in (result.folder / "report.md").read_text()


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


def test_a_result_is_read_as_it_was_written(result: Result) -> None:
    part = PartResult("a", ["LSTM"], 0.124, ["TVM has no such operator"])
    variant = VariantResult("x=1", {"tuned": 1.0}, "tuned", "", True, {"untuned": 0.0}, [part])
    whole = replace(
        result,
        parts=[part],
        variants=[variant],
        absent={"onnxruntime": "it has no kernels"},
        tasks=[task("conv", workloads=["k", "w"]), untuned("pool", refused=["slow"])],
    )
    whole.write()
    read = Result.read(result.folder)
    assert read.to_json() == whole.to_json()
    assert (read.parts, read.variants) == ([part], [variant])
    assert [one.workloads for one in read.tasks] == [["k", "w"], []]


def test_what_is_not_finite_is_read_back(result: Result) -> None:
    hopeless = untuned("slow", best_us=math.inf, untuned_us=math.inf)
    replace(result, tasks=[hopeless], errors={"untuned": math.nan}).write()
    read = Result.read(result.folder)
    assert read.tasks[0].best_us == math.inf
    assert math.isnan(read.errors["untuned"])


@pytest.mark.parametrize(
    "changed",
    [
        {"deployed": "onnxruntime"},  # it was not timed
        {"seconds": {}},
        {"tasks": [1]},
        {"tasks": [{"name": "x"}]},
        {"latency_ms": {"tuned": "fast"}},
        {"trials": None},
    ],
)
def test_a_damaged_summary_is_an_error(changed: dict[str, Any], result: Result) -> None:
    damaged = json.dumps({**result.to_json(), **changed})
    for content in (damaged, damaged[:-9], "", "[]", "null"):
        (result.folder / "summary.json").write_text(content)
        with pytest.raises(OutputError, match=r"holds no summary\.json of a run; make one with"):
            Result.read(result.folder)


def test_kernels_that_were_tuned_are_shown_where_another_is_deployed(result: Result) -> None:
    latency = {"tuned": 1.25, "onnxruntime": 0.5}
    write_report(replace(result, latency_ms=latency, deployed="onnxruntime", reason="it is slow"))
    report = (result.folder / "report.md").read_text()
    assert "They are the tuned model's, and onnxruntime is deployed." in report
    assert "|        100 |     10.0 |    10.0x |" in report
    assert "- `pool`: the budget had no trials for it" in report
    write_report(result)
    assert "They are the tuned model's" not in (result.folder / "report.md").read_text()
