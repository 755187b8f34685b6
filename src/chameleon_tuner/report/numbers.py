"""Functions that format numbers for people."""

from __future__ import annotations

import math

MISSING = "-"
"""The text in place of a number that was not measured."""

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float) -> str:
    """Format a number with 3 significant digits and no exponent: `0.0123`, `4.57`, `1,767`."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def microseconds(secs: float) -> str:
    """Format seconds as a number of microseconds without a unit."""
    return significant(secs * 1e6)


def duration(secs: float) -> str:
    """Format seconds with 3 significant digits and a unit: `12.3 ms`, `4.57 s`."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if secs >= scale:
            return f"{significant(secs / scale)} {unit}"
    return f"{significant(secs * 1e9)} ns" if math.isfinite(secs) else MISSING


def gflops(flops: float, secs: float) -> str:
    """Format a throughput in 10^9 floating-point operations per second.

    A kernel without arithmetic gets `MISSING`.
    """
    if not flops or not 0 < secs < math.inf:
        return MISSING
    return significant(flops / secs / 1e9)


def ratio(before: float, after: float) -> str:
    """Format a speed-up: `194x`."""
    if not (math.isfinite(before) and 0 < after < math.inf):
        return MISSING
    return f"{significant(before / after)}x"


def percent(part: float, whole: float) -> str:
    """Format a share: `0.4%` or `61%`."""
    if not (math.isfinite(part) and 0 < whole < math.inf):
        return MISSING
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 9.95 or share == 0 else f"{share:.1f}%"


def clock(secs: float) -> str:
    """Format a duration as on a clock: `0:43`, `12:05`, `1:02:03`."""
    minutes, seconds = divmod(int(secs), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def quantity(value: float) -> str:
    """Format a large number with a decimal prefix: `231M`."""
    for scale, prefix in _PREFIXES:
        if value >= scale:
            return f"{value / scale:.3g}{prefix}"
    return f"{value:.3g}" if value else MISSING


def size(count: int) -> str:
    """Format a number of configurations: `1,024`, `3.1e12`."""
    if count < 10**6:
        return f"{count:,}"
    exponent = math.floor(math.log10(count))
    return f"{count / 10**exponent:.1f}e{exponent}"


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: `1 trial`, `2 trials`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
