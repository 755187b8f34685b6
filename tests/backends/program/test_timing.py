from __future__ import annotations

import json

import pytest

from chameleon_tuner.backends.program.spec import TimeReading
from chameleon_tuner.backends.program.timing import ReadingError, seconds_in, without_time


def test_the_median_of_all_matches() -> None:
    reading = TimeReading(pattern=r"^time: ([\d.]+) us", unit="us")
    assert seconds_in("time: 3 us\nother: 1 us\ntime: 5 us\ntime: 4.5 us\n", reading) == 4.5e-6


def test_a_rate_is_better_when_it_is_larger() -> None:
    reading = TimeReading(pattern=r"([\d.]+) MB/s", unit="1/s")
    assert seconds_in("200 MB/s", reading) < seconds_in("100 MB/s", reading)


@pytest.mark.parametrize(
    ("path", "secs"),
    [("a.b.1.secs", 2.0), ("list", 4.0), ("one", 1.5)],
)
def test_a_field_of_json(path: str, secs: float) -> None:
    data = {"a": {"b": [{"secs": 1}, {"secs": 2}]}, "list": [3, 5, 4], "one": 1.5}
    assert seconds_in(json.dumps(data), TimeReading(json=path)) == secs


@pytest.mark.parametrize(
    ("text", "reading", "says"),
    [
        ("nothing", TimeReading(pattern="t=(.*)"), "nothing in stdout matches"),
        ("t=fast", TimeReading(pattern="t=(.*)"), "'fast', which is not a number"),
        ("t=0.000", TimeReading(pattern="t=(.*)"), "has to be more than 0"),
        ("t=-1", TimeReading(pattern="t=(.*)"), "has to be more than 0"),
        ("t=nan", TimeReading(pattern="t=(.*)"), "has to be more than 0"),
        ("{", TimeReading(json="a"), "not JSON"),
        ("{}", TimeReading(json="a"), "no field 'a'"),
        ("[]", TimeReading(json="0.a"), "no field"),
        ('{"a": "1"}', TimeReading(json="a"), "not a number"),
        ('{"a": true}', TimeReading(json="a"), "not a number"),
        ('{"a": []}', TimeReading(json="a"), "not a number"),
    ],
)
def test_no_time(text: str, reading: TimeReading, says: str) -> None:
    with pytest.raises(ReadingError, match=says):
        seconds_in(text, reading)


def test_an_output_without_its_time() -> None:
    reading = TimeReading(pattern=r"time: ([\d.]+)")
    assert without_time("x 1\ntime: 2.5 s\n", reading) == without_time("x 1\ntime: 9 s\n", reading)
    reading = TimeReading(json="a.0.secs")
    one, other, wrong = (
        json.dumps({"a": [{"secs": secs, "sum": total}]})
        for secs, total in ((1, 5), (2, 5), (1, 6))
    )
    assert without_time(one, reading) == without_time(other, reading)
    assert without_time(one, reading) != without_time(wrong, reading)
    assert without_time("no JSON", reading) == "no JSON"
