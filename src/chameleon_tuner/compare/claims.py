"""What the paper concludes from its numbers, and whether ours bear it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chameleon_tuner.compare import published
from chameleon_tuner.compare.bootstrap import Estimate
from chameleon_tuner.compare.exploration import exploration
from chameleon_tuner.compare.merit import equal_trials
from chameleon_tuner.compare.published import (
    ANNEALING_ADAPTIVE,
    ANNEALING_GREEDY,
    PPO_ADAPTIVE,
    PPO_GREEDY,
)
from chameleon_tuner.compare.reach import reach
from chameleon_tuner.compare.runs import Runs


@dataclass(frozen=True)
class Claim:
    """A ratio that the paper reports; above 1 speaks for the newer part.

    Attributes:
        what: the paper's claim with its number, a sentence without its full stop.
        published: its number.
        ours: the same of our curves, geomean over tasks; None where a recipe is missing or no
            pair of runs can be compared.
        basis: what ours is held against where there is a choice; may be empty.
        sentence: how ours disagrees: it points the other way, or the published number is outside
            its interval. Empty where it does not, or there is nothing to say.
    """

    what: str
    published: float
    ours: Estimate | None
    basis: str
    sentence: str


class _Question(NamedTuple):
    what: str
    published: float
    recipe: str
    reference: str
    answer: Callable[[Runs, str, str], Estimate | None]
    basis: str = ""


def claims(runs: Runs, labels: Mapping[str, str | None]) -> Sequence[Claim]:
    """Every claim of the paper about the 2x2, with ours beside.

    Its optimization times are of whole runs, so ours is first all that annealing+greedy spent,
    over the time until its final latency is reached; and then, strictly, only what it spent until
    it first got there itself. Measurements are compared strictly.

    Args:
        runs: on the paper's networks.
        labels: the recipe in each cell of the 2x2.
    """
    return [_claim(runs, question, labels) for question in _QUESTIONS]


def _claim(runs: Runs, question: _Question, labels: Mapping[str, str | None]) -> Claim:
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
    if (said - 1) * (ours.value - 1) < 0:
        return True
    return ours.low is not None and ours.high is not None and not ours.low <= said <= ours.high


def _read(ours: Estimate) -> str:
    if ours.low is None:
        return f"{ours.value:.2f}x (one seed)"
    return f"{ours.value:.2f}x ({ours.low:.2f} to {ours.high:.2f})"


def _fewer_steps(runs: Runs, recipe: str, _: str) -> Estimate | None:
    return exploration(runs, recipe).fewer


def _fewer_measurements(runs: Runs, recipe: str, reference: str) -> Estimate:
    return reach(runs, recipe, reference).measurements.strict


def _less_time(runs: Runs, recipe: str, reference: str) -> Estimate:
    return reach(runs, recipe, reference).seconds.whole


def _less_time_strict(runs: Runs, recipe: str, reference: str) -> Estimate:
    return reach(runs, recipe, reference).seconds.strict


def _faster(runs: Runs, recipe: str, reference: str) -> Estimate:
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
