from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.bench.compare.contest import (
    PAIRS,
    UNLIMITED,
    Contest,
    Contestant,
    contestants_of,
    known_recipes,
)
from chameleon_tuner.core.errors import UsageError


def labels(text: str) -> list[str]:
    return [contestant.label for contestant in contestants_of(text)]


def test_a_list_of_recipes_is_read_in_order() -> None:
    text = "chameleon, metaschedule:256,random:1000"
    assert contestants_of(text) == [
        Contestant("chameleon", "chameleon"),
        Contestant("metaschedule:256", "metaschedule", 256),
        Contestant("random:1000", "random", 1000),
    ]


def test_2x2_stands_for_the_four_pairs() -> None:
    assert labels("autotvm,2x2") == ["autotvm", *PAIRS]
    assert set(PAIRS) == {
        "annealing+greedy",
        "annealing+adaptive",
        "ppo+greedy",
        "ppo+adaptive",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chamelion", "did you mean 'chameleon'"),
        ("metashedule", "metaschedule and 2x2 are there, too"),
        ("annealing+gready", "did you mean 'greedy'"),
        ("aneling+greedy", "unknown explorer"),
        ("random,random", "there twice"),
        ("2x2,ppo+greedy", "there twice"),
        ("random:", "random:256"),
        ("random:many", "random:256"),
        ("random:0", "random:256"),
        (" , ", "no recipes"),
    ],
)
def test_a_wrong_list_says_what_to_do(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("+", r"\+")):
        contestants_of(text)


def test_every_known_recipe_is_understood() -> None:
    for name in known_recipes():
        assert contestants_of(name)


def contest(
    text: str = "random,annealing+greedy,metaschedule",
    trials: int | None = 128,
    budget_secs: float = math.inf,
    seeds: int = 2,
) -> Contest:
    return Contest(contestants_of(text), trials, budget_secs, seeds)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (contest(trials=32), "less than one batch of random"),
        (contest("metaschedule:32"), "less than one batch of metaschedule:32"),
        (contest("chameleon", trials=15), "less than one batch of chameleon"),
        (contest(trials=0), "0 trials are less than one batch"),
        (contest(trials=None), "no budget"),
        (contest(seeds=0), "at least one"),
    ],
)
def test_terms_under_which_nobody_can_measure_are_refused(wrong: Contest, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wrong.check()


def test_own_trials_go_before_everybodys_and_time_alone_is_a_budget() -> None:
    timed = contest("random:64,chameleon", trials=None, budget_secs=60.0)
    timed.check()
    first, second = timed.contestants
    assert timed.terms(first, 1).trials == 64
    assert timed.terms(second, 1).trials == UNLIMITED
    assert timed.terms(second, 1).budget_secs == 60.0
    assert timed.terms(second, 1).seed == 1


@given(st.integers(1, 5), st.integers(1, 4))
def test_every_run_is_there_once_and_seeds_come_one_after_the_other(tasks: int, seeds: int) -> None:
    names = [f"t{number}" for number in range(tasks)]
    runs = list(contest(seeds=seeds).runs(names))
    told = [(run.terms.seed, run.task, run.contestant.label) for run in runs]
    assert len(set(told)) == len(told) == 3 * tasks * seeds
    assert [seed for seed, _, _ in told] == sorted(seed for seed, _, _ in told)
    assert len({run.name for run in runs}) == len(runs)
    assert runs == list(contest(seeds=seeds).runs(names))


def test_nobody_always_goes_first() -> None:
    runs = list(contest(seeds=10).runs(["a", "b"]))
    first = {run.contestant.label for run in runs[::3]}
    assert len(first) == 3
