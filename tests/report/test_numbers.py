from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (4.567, "4.57"),
        (21.64, "21.6"),
        (999.9, "1,000"),
        (1767.4, "1,767"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert numbers.significant(value) == text


@given(st.floats(1e-6, 1e9))
def test_significant_is_within_half_a_percent(value: float) -> None:
    text = numbers.significant(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("secs", "text"), [(0, "0:00"), (43.9, "0:43"), (725, "12:05"), (3723, "1:02:03")]
)
def test_clock(secs: float, text: str) -> None:
    assert numbers.clock(secs) == text


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1"), (2376, "2,376"), (10**6, "1.0e6"), (31 * 10**29, "3.1e30")]
)
def test_size(count: int, text: str) -> None:
    assert numbers.size(count) == text


def test_quantity() -> None:
    assert [numbers.quantity(v) for v in (0, 330, 36_900, 231.2e6, 3.6e9, 2e12)] == [
        "-",
        "330",
        "36.9k",
        "231M",
        "3.6G",
        "2T",
    ]


def test_rates_and_shares() -> None:
    assert numbers.gflops(231e6, 448e-6) == "516"
    assert numbers.gflops(0, 1.0) == numbers.gflops(1e6, math.inf) == "-"
    assert numbers.microseconds(21.6e-6) == "21.6"
    assert numbers.ratio(1767, 9.12) == "194x"
    assert numbers.ratio(math.inf, 1) == numbers.ratio(1, 0) == numbers.ratio(1, math.nan) == "-"
    assert [numbers.percent(part, 100) for part in (0, 0.41, 9.96, 61)] == [
        "0%",
        "0.4%",
        "10%",
        "61%",
    ]
    assert numbers.percent(1, 0) == numbers.percent(1, math.nan) == "-"


def test_plural() -> None:
    assert (numbers.plural(1, "trial"), numbers.plural(2000, "trial")) == (
        "1 trial",
        "2,000 trials",
    )
