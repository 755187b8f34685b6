from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.bench.fair.reading import read_fair, read_space
from chameleon_tuner.bench.fair.writing import recorded_results, write_t4
from chameleon_tuner.bench.recording import Recording
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.space import values_at
from chameleon_tuner.space.listing import listed

ASSETS = Path(__file__).parent / "assets"
T1, CACHE, T4 = ASSETS / "blur_T1.json", ASSETS / "blur_cache.json", ASSETS / "blur_T4.json.gz"


def times(recording: Recording) -> dict[str, float]:
    """The seconds of every configuration, by its values and how it ended."""
    space = recording.task.space
    return {
        f"{sorted(values_at(space, o.configuration).items())} {o.status.value}": o.seconds
        for o in recording.outcomes
    }


def test_results_and_cache_are_the_same_recording() -> None:
    results, cache = read_fair(T4), read_fair(CACHE)
    assert times(results) == pytest.approx(times(cache))
    assert results.task.name == cache.task.name == "blur"
    assert len(results.outcomes) == results.task.space.count == 91
    assert results.complete
    assert cache.machine == "A made-up GPU"
    best = min(results.outcomes, key=lambda outcome: outcome.seconds)
    assert best.seconds == pytest.approx(0.503e-3)
    assert values_at(results.task.space, best.configuration) == {
        "block_x": 64,
        "block_y": 2,
        "tile": 3,
        "shared": 1,
    }
    assert best.build_secs == pytest.approx(0.305)
    assert best.run_secs == pytest.approx(2 * 0.503e-3)
    failed = [o.status for o in results.outcomes if math.isinf(o.seconds)]
    assert sorted(failed) == [Status.BUILD_ERROR, Status.BUILD_ERROR, Status.RUN_ERROR]


def test_the_space_of_an_input_is_that_of_its_results() -> None:
    space, recorded = read_space(T1), read_space(T4)
    assert space.count == recorded.count == 91
    rows = np.sort(space.keys(space.sample(2000, np.random.default_rng(0))))
    np.testing.assert_array_equal(
        np.unique(rows),
        np.sort(recorded.keys(recorded.unique(recorded.sample(2000, np.random.default_rng(1))))),
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    recording = read_fair(T4)
    for name in ("blur_T4.json", "blur_T4.json.gz"):
        write_t4(tmp_path / name, recorded_results(recording))
        again = read_fair(tmp_path / name)
        assert times(again) == pytest.approx(times(recording))
        assert again.task.space == recording.task.space
        for one, other in zip(again.outcomes, recording.outcomes, strict=True):
            assert one.build_secs == pytest.approx(other.build_secs)
            assert one.run_secs == pytest.approx(other.run_secs)


def results() -> dict[str, Any]:
    return json.loads(gzip.decompress(T4.read_bytes()))  # type: ignore[no-any-return]


def cache() -> dict[str, Any]:
    return json.loads(CACHE.read_text().rstrip().rstrip(",") + "}}")  # type: ignore[no-any-return]


def changed(data: dict[str, Any], *where: Any, to: Any) -> dict[str, Any]:
    at: Any = data
    for key in where[:-1]:
        at = at[key]
    at[where[-1]] = to
    return data


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "no object": (lambda: [1, 2], "none of the formats"),
    "empty": (lambda: {"results": []}, "nothing is measured"),
    "unit": (lambda: changed(results(), "metadata", "timeunit", to="fortnights"), "fortnights"),
    "invalidity": (lambda: changed(results(), "results", 0, "invalidity", to="odd"), "'odd'"),
    "no time": (lambda: changed(results(), "results", 0, "measurements", to=[]), "no measurement"),
    "zero": (lambda: changed(results(), "results", 0, "measurements", 0, "value", to=0), "takes"),
    "no result": (lambda: changed(results(), "results", 0, to=3), "is no result"),
    "value": (
        lambda: changed(results(), "results", 0, "configuration", "tile", to=[1]),
        "tile has the value",
    ),
    "other parameters": (
        lambda: changed(results(), "results", 1, "configuration", to={"tile": 1}),
        "other parameters",
    ),
    "objective": (lambda: changed(cache(), "objective", to="GFLOP/s"), "objective"),
    "entry": (lambda: changed(cache(), "cache", "16,1,1,0", to=3), "16,1,1,0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_says_so(tmp_path: Path, name: str) -> None:
    make, message = BROKEN[name]
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(make()))
    with pytest.raises(UsageError, match=message) as caught:
        read_fair(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "none of"), (b"\x1f\x8bnot", "cannot be read"), (b"\xff\xfe", "cannot be read")],
)
def test_what_is_no_document_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.json.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_fair(path)


def test_an_input_is_no_recording() -> None:
    with pytest.raises(UsageError, match="T1 input, which has no measurements"):
        read_fair(T1)


def test_values_of_inputs_are_lists_in_pythons_syntax() -> None:
    assert listed("[1, 2, 4] + list(range(32, 129, 32))") == [1, 2, 4, 32, 64, 96, 128]
    assert listed("[2**i for i in range(0, 6)]") == [1, 2, 4, 8, 16, 32]
    assert listed("[i for i in range(1, 10+1) if i % 2 == 0]") == [2, 4, 6, 8, 10]
    assert listed("('row', 'column')") == ["row", "column"]
    assert listed("[0.25, -1.5]") == [0.25, -1.5]


@pytest.mark.parametrize(
    "text",
    ["", "3", "[x]", "open('a')", "[1", "range(10**12)", "[i for i, j in 3]", "[9**9**9]", "[[1]]"],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        listed(text)
