from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from chameleon_tuner.bench.versus.results import Broken, Duel, Missing, Timed
from chameleon_tuner.report.sections import with_section
from chameleon_tuner.report.style import styled
from chameleon_tuner.report.versus import HEADING, bars, lines, section, write_duel

COMMAND = "chameleon versus tiny.onnx tuned"


@pytest.fixture
def found() -> Duel:
    return Duel(
        model="tiny",
        machine="Some CPU",
        threads=2,
        runtimes=[
            Timed("chameleon", "0.1.0", 1.0, (0.98, 1.03), None, None),
            Timed("onnxruntime", "1.20.0", 2.0, (1.9, 2.1), 2.5e-7, 0.5),
            Timed("torch.compile", "2.6.0", 0.8, (0.7, 0.9), 0.02, 1.25),
        ],
        missing=[Missing("openvino", "pip install it")],
        failed=[Broken("other", "no [such] operator")],
        rounds=15,
        round_secs=0.3,
    )


def test_lines_for_the_terminal(found: Duel) -> None:
    title, header, ours, right, wrong, *notes = lines(found)
    assert title == "tiny on 2 threads of Some CPU, medians of 15 rounds"
    assert " ".join(header.split()) == "runtime version ms 95% interval ours / its difference"
    assert " ".join(ours.split()) == "chameleon 0.1.0 1.00 0.980 to 1.03 - -"
    assert " ".join(right.split()) == "onnxruntime 1.20.0 2.00 1.90 to 2.10 0.50 2.5e-07"
    assert " ".join(wrong.split()).endswith("1.25 2.0e-02, outputs differ")
    assert notes[1:] == [
        "openvino is not installed: pip install it",
        "other failed: no [such] operator",
    ]


def test_busy_neighbours_are_named(found: Duel) -> None:
    title, *_ = lines(replace(found, busy=2))
    assert title == "tiny on 2 threads of Some CPU beside 2 busy neighbours, medians of 15 rounds"


def test_a_suspicion_is_said(found: Duel) -> None:
    runtimes = [found.runtimes[0], Timed("other", "1", 1.0, (1.0, 1.0), math.nan, 1.0)]
    suspicious = Duel("m", "c", 2, runtimes, [], [], 15, 0.3)
    said = lines(suspicious)
    assert said[-1].endswith("the folder may be of another model")
    assert said[3].split()[-2:] == ["outputs", "differ"]


def test_the_section_is_markdown(found: Duel) -> None:
    text = section(found, COMMAND)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(found.runtimes)
    assert {row.count("|") for row in rows} == {7}
    assert set(rows[1]) == {"|", "-", ":", " "}
    assert f"```\n{COMMAND}\n```\n" in text
    assert "](versus.svg)" in text
    assert "- other failed: no [such] operator" in text


def test_a_section_is_replaced_and_not_repeated(found: Duel) -> None:
    page = "# tiny\n\n## Made with\n\n- numpy\n"
    once = with_section(page, HEADING, section(found, COMMAND))
    assert once.startswith(page)
    assert with_section(once, HEADING, section(found, COMMAND)) == once
    again = with_section(once, HEADING, section(found, "another command"))
    assert again.count(HEADING) == 1
    assert COMMAND not in again


def test_what_follows_the_section_stays(found: Duel) -> None:
    page = f"# tiny\n\n{HEADING}\n\nold\n\n## Notes\n\nmine\n"
    replaced = with_section(page, HEADING, section(found, COMMAND))
    assert "old" not in replaced
    assert replaced.index("## Notes\n\nmine\n") < replaced.index(HEADING)


def test_files_of_a_folder(found: Duel, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# tiny\n")
    said = write_duel(found, tmp_path, COMMAND)
    assert said[-1] == f"{tmp_path}/versus.json has the figures, versus.svg the chart"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"report.md", "versus.json", "versus.svg", "versus.png"}
    written = json.loads((tmp_path / "versus.json").read_text())
    assert written["runtimes"][1] == {
        "name": "onnxruntime",
        "version": "1.20.0",
        "median_ms": 2.0,
        "interval_ms": [1.9, 2.1],
        "error": 2.5e-7,
        "ratio": 0.5,
    }
    assert written["missing"] == [{"name": "openvino", "install": "pip install it"}]
    assert written["failed"] == [{"name": "other", "reason": "no [such] operator"}]
    assert HEADING in (tmp_path / "report.md").read_text()
    assert b"<svg" in (tmp_path / "versus.svg").read_bytes()
    assert (tmp_path / "versus.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_report_none_is_made(found: Duel, tmp_path: Path) -> None:
    write_duel(found, tmp_path, COMMAND)
    assert not (tmp_path / "report.md").exists()


def test_ours_is_the_bar_of_another_colour(found: Duel) -> None:
    with styled():
        axes = bars(found).axes[0]
    ours, *others = [bar.get_facecolor() for bar in axes.patches]
    assert ours not in others
    assert len(set(others)) == 1
    assert [text.get_text() for text in axes.texts] == [
        "1.00 ms",
        "2.00 ms",
        "0.800 ms, outputs differ",
    ]
