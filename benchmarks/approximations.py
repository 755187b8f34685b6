"""Fit the approximations of `chameleon_tuner.backends.tvm.lower.mathematics`, and print them.

    python benchmarks/approximations.py

Each line is a polynomial, or a quotient of two: its name, the coefficients from the constant
upwards, and the largest error in exact arithmetic, relative to the whole function. The fits are
nearly minimax: least squares whose weights follow the error (Lawson 1961), for quotients with the
denominator of the step before (Sanathanan and Koerner 1963). The references are NumPy's and SciPy's
functions in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval, polyvander
from numpy.typing import NDArray
from scipy import special

Values = NDArray[Any]

ROUNDS, POINTS = 200, 4000

HALF_LN2 = 0.5 * np.log(2.0) * 1.0001


@dataclass(frozen=True)
class Fit:
    """A function that is approximated.

    Attributes:
        name: Name of the approximation.
        of: The function.
        weight: What an error of it is multiplied with, to be one of the whole function.
        low: Lower end of the interval.
        high: Upper end of the interval.
        above: Degree of the numerator.
        below: Degree of the denominator, whose constant is 1.
    """

    name: str
    of: Callable[[Values], Values]
    weight: Callable[[Values], Values]
    low: float
    high: float
    above: int
    below: int = 0


def _slope(function: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """Return f(x) / x as a function of x^2."""
    return lambda s: function(np.sqrt(s)) / np.sqrt(s)


FITS = [
    Fit(  # e^r = 1 + r + r^2 P(r)
        "EXP",
        lambda r: (np.expm1(r) - r) / r**2,
        lambda r: r**2 / np.exp(r),
        *(-HALF_LN2, HALF_LN2, 4),
    ),
    Fit(  # log(1 + r) = r - r^2 / 2 + r^3 P(r)
        "LOG",
        lambda r: (np.log1p(r) - r + r**2 / 2) / r**3,
        lambda r: r**3 / np.log1p(r),
        *(-1 / 3, 1 / 3, 7),
    ),
    # f(x) = x P(x^2) / Q(x^2), up to where it is 1 in float32
    Fit("ERF", _slope(special.erf), lambda s: 1 / _slope(special.erf)(s), 1e-9, 3.93**2, 5, 5),
    Fit("TANH", _slope(np.tanh), lambda s: 1 / _slope(np.tanh)(s), 1e-9, 9.02**2, 4, 4),
]


def fitted(fit: Fit) -> tuple[Values, Values]:
    """Return the coefficients of numerator and denominator, from the constants upwards."""
    nodes = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    x = 0.5 * (fit.low + fit.high) + 0.5 * (fit.high - fit.low) * nodes
    if fit.below:  # most of the function happens where x^2 is small
        x = fit.low + (fit.high - fit.low) * (0.5 + 0.5 * nodes) ** 2
    x = x[np.abs(x) > 1e-6 * min(1.0, fit.high - fit.low)]
    wanted, weight = fit.of(x), fit.weight(x)
    unknown = np.hstack(
        [polyvander(x, fit.above), -wanted[:, None] * polyvander(x, fit.below)[:, 1:]]
    )
    shares, denominator = np.ones(len(x)), np.ones(len(x))
    best, least = (np.zeros(1), np.ones(1)), np.inf
    for _ in range(ROUNDS):
        rows = (np.sqrt(shares) * weight / denominator)[:, None] * unknown
        scale = np.abs(rows).max(axis=0)
        right = np.sqrt(shares) * weight / denominator * wanted
        found = np.linalg.lstsq(rows / scale, right, rcond=None)[0] / scale
        above, below = found[: fit.above + 1], np.append(1.0, found[fit.above + 1 :])
        denominator = polyval(x, below)
        error = weight * np.abs(polyval(x, above) / denominator - wanted)
        if error.max() < least:
            best, least = (above, below), error.max()
        shares = shares * (error + 1e-3 * error.max())
        shares /= shares.sum()
    return best


def error_of(fit: Fit, above: Values, below: Values) -> float:
    """Return the largest error of the whole function, with coefficients of float32."""
    x = np.linspace(fit.low, fit.high, 100_001)
    x = x[np.abs(x) > 1e-6]
    value = polyval(x, above.astype(np.float32)) / polyval(x, below.astype(np.float32))
    return float((fit.weight(x) * np.abs(value - fit.of(x))).max())


def main() -> None:
    """Print all approximations."""
    for fit in FITS:
        above, below = fitted(fit)
        print(f"{fit.name}  relative error 2^{np.log2(error_of(fit, above, below)):.1f}")
        for part in (above, below)[: 2 if fit.below else 1]:
            print("   ", ", ".join(f"{coefficient:.9g}" for coefficient in part))


if __name__ == "__main__":
    main()
