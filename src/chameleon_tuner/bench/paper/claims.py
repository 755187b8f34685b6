"""The claims of the paper, and whether our runs confirm them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chameleon_tuner.bench.figures.merit import equal_trials
from chameleon_tuner.bench.figures.reach import exploration, reach
from chameleon_tuner.bench.figures.runs import Estimate, Runs
from chameleon_tuner.bench.paper import published
from chameleon_tuner.bench.paper.published import (
    ANNEALING_ADAPTIVE,
    ANNEALING_GREEDY,
    PPO_ADAPTIVE,
    PPO_GREEDY,
)


@dataclass(frozen=True)
class Claim:
    """A ratio that the paper reports; above 1 is in favour of the paper's new method.

    Attributes:
        what: The paper's claim with its number, a sentence without its full stop.
        published: The published ratio.
        ours: The same ratio from our curves, geomean over tasks; None if a recipe is missing or no
            pair of runs can be compared.
        basis: What our ratio refers to if there are several possibilities; may be empty.
        sentence: How our ratio disagrees: it is on the other side of 1, or its interval does not
            contain the published ratio. Empty if it agrees or cannot be compared.
    """

    what: str
    published: float
    ours: Estimate | None
    basis: str
    sentence: str


class _Question(NamedTuple):
    """A claim of the paper, and how to compute our ratio for it.

    Attributes:
        what: Template of the claim, with a placeholder for the published ratio.
        published: The published ratio.
        recipe: Cell of the 2x2 that the claim is about.
        reference: Cell of the 2x2 that it is compared with.
        answer: Computes our ratio from the runs, the recipe and the reference.
        basis: What our ratio refers to, see `Claim`.
    """

    what: str
    published: float
    recipe: str
    reference: str
    answer: Callable[[Runs, str, str], Estimate | None]
    basis: str = ""


def claims(runs: Runs, labels: Mapping[str, str | None]) -> Sequence[Claim]:
    """Compare every claim of the paper about the 2x2 with our runs.

    The paper's optimization times are those of whole runs. So our first ratio is the time of the
    whole run of annealing+greedy divided by the time until its final latency is reached. The second
    ratio is strict: it counts only the time that annealing+greedy took to reach this latency
    itself. Numbers of measurements are compared strictly.

    Args:
        runs: Runs on the paper's networks.
        labels: Label of the recipe in each cell of the 2x2; None without a recipe.
    """
    return [_claim(runs, question, labels) for question in _QUESTIONS]


def _claim(runs: Runs, question: _Question, labels: Mapping[str, str | None]) -> Claim:
    """Compare one claim with our runs."""
    recipe, reference = labels[question.recipe], labels[question.reference]
    ours = question.answer(runs, recipe, reference) if recipe and reference else None
    if ours is not None and not ours.pairs:
        ours = None
    what = question.what.format(f"{question.published:g}x", *published.AE_FEWER_STEPS_RANGE)
    sentence = ""
    if ours and _disagree(question.published, ours):
        sentence = f"{what}; here {_read(ours)}{question.basis}."
    return Claim(what, question.published, ours, question.basis.strip(), sentence)


def _disagree(said: float, ours: Estimate) -> bool:
    """Check whether our ratio is on the other side of 1, or its interval excludes the paper's."""
    if (said - 1) * (ours.value - 1) < 0:
        return True
    return ours.low is not None and ours.high is not None and not ours.low <= said <= ours.high


def _read(ours: Estimate) -> str:
    """Format an estimate with its interval."""
    if ours.low is None:
        return f"{ours.value:.2f}x (one seed)"
    return f"{ours.value:.2f}x ({ours.low:.2f} to {ours.high:.2f})"


def _fewer_steps(runs: Runs, recipe: str, _: str) -> Estimate | None:
    """Return annealing's steps to convergence divided by the recipe's."""
    return exploration(runs, recipe).fewer


def _fewer_measurements(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Return the strict gain in measurements, see `Gain`."""
    return reach(runs, recipe, reference).measurements.strict


def _less_time(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Return the gain in time relative to the reference's whole run, see `Gain`."""
    return reach(runs, recipe, reference).seconds.whole


def _less_time_strict(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Return the strict gain in time, see `Gain`."""
    return reach(runs, recipe, reference).seconds.strict


def _faster(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Return the reference's latency divided by the recipe's at equal trials."""
    return equal_trials(runs, recipe, reference).inverse()


_QUESTIONS = (
    _Question(
        "The paper's PPO explores {} fewer steps than annealing ({:g} to {:g} by layer)",
        published.AE_FEWER_STEPS,
        PPO_GREEDY,
        ANNEALING_GREEDY,
        _fewer_steps,
    ),
    _Question(
        "The paper's adaptive sampling needs {} fewer measurements under annealing",
        published.AS_FEWER_MEASUREMENTS_ON_ANNEALING,
        ANNEALING_ADAPTIVE,
        ANNEALING_GREEDY,
        _fewer_measurements,
    ),
    _Question(
        "The paper's adaptive sampling needs {} fewer measurements under PPO",
        published.AS_FEWER_MEASUREMENTS_ON_PPO,
        PPO_ADAPTIVE,
        PPO_GREEDY,
        _fewer_measurements,
    ),
    *(
        _Question(
            f"The paper's {name} tunes {{}} faster than AutoTVM",
            published.SPEEDUP[cell],
            cell,
            ANNEALING_GREEDY,
            answer,
            basis,
        )
        for name, cell in (
            ("PPO alone", PPO_GREEDY),
            ("adaptive sampling alone", ANNEALING_ADAPTIVE),
            ("Chameleon", PPO_ADAPTIVE),
        )
        for answer, basis in (
            (_less_time, " against AutoTVM's whole run"),
            (_less_time_strict, " against the time AutoTVM itself took to get there"),
        )
    ),
    _Question(
        "The paper's abstract has Chameleon's inference {} as fast as AutoTVM's",
        published.INFERENCE_GAIN_ABSTRACT,
        PPO_ADAPTIVE,
        ANNEALING_GREEDY,
        _faster,
    ),
    _Question(
        "The paper's table has Chameleon's inference {} as fast as AutoTVM's",
        published.INFERENCE_GAIN_TABLE,
        PPO_ADAPTIVE,
        ANNEALING_GREEDY,
        _faster,
    ),
    _Question(
        "The paper's curves of PPO alone end at {} of AutoTVM's throughput",
        published.AE_THROUGHPUT,
        PPO_GREEDY,
        ANNEALING_GREEDY,
        _faster,
    ),
    _Question(
        "The paper's curves of annealing with adaptive sampling end at {} of AutoTVM's throughput",
        published.AS_THROUGHPUT,
        ANNEALING_ADAPTIVE,
        ANNEALING_GREEDY,
        _faster,
    ),
    _Question(
        "The paper's curves of Chameleon end at {} of AutoTVM's throughput",
        published.AS_THROUGHPUT,
        PPO_ADAPTIVE,
        ANNEALING_GREEDY,
        _faster,
    ),
)
