from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.schedule import Budget, GradientScheduler, ScheduleParameters
from chameleon_tuner.task import Task
from chameleon_tuner.testing.landscapes import tiny_space


def task(name: str, weight: int = 1, flops: float = 1.0) -> Task:
    return Task(name, name, "", {}, tiny_space(), weight, flops)


def test_every_task_first_the_heaviest_before() -> None:
    tasks = [task("light", flops=1), task("heavy", flops=9), task("often", weight=5, flops=1)]
    scheduler = GradientScheduler(tasks, Budget(1000), 16)
    seen = []
    for _ in tasks:
        following = scheduler.next()
        assert following is not None
        seen.append(following.name)
        scheduler.observe(following, 16, 1.0, exhausted=False)
    assert seen == ["heavy", "often", "light"]


def test_trials_go_where_the_network_gains_most() -> None:
    big, small = task("big", weight=10), task("small", weight=1)
    scheduler = GradientScheduler([big, small], Budget(1000), 10)
    for mine in (big, small):
        scheduler.observe(mine, 10, 1.0, exhausted=False)
    assert scheduler.next() is big
    scheduler.observe(small, 10, 0.01, exhausted=False)  # it just gained a lot
    scheduler.observe(big, 10, 1.0, exhausted=False)
    assert scheduler.next() is big  # ten calls of a second, against one of a hundredth


def test_a_plateau_ends_a_task() -> None:
    parameters = ScheduleParameters(patience=3)
    mine = task("a")
    scheduler = GradientScheduler([mine], Budget(10_000), 10, parameters)
    rounds = 0
    while scheduler.next() is not None:
        rounds += 1
        scheduler.observe(mine, 10, 1.0 if rounds > 4 else 1.0 / rounds + 1, exhausted=False)
    assert 4 < rounds <= 9


def test_a_task_that_never_runs_is_given_up() -> None:
    parameters = ScheduleParameters(hopeless=2)
    mine = task("a")
    scheduler = GradientScheduler([mine], Budget(10_000), 10, parameters)
    for _ in range(2):
        assert scheduler.next() is mine
        scheduler.observe(mine, 10, math.inf, exhausted=False)
    assert scheduler.next() is None


def test_a_first_batch_that_failed_is_made_up_for_when_all_had_theirs() -> None:
    """And with as few: its candidates may have taken all the time that they were given."""
    tasks = [task("heavy", flops=9), task("middle", flops=4), task("light", flops=1)]
    scheduler = GradientScheduler(tasks, Budget(1000, search_secs=3.0), 16)
    seen = []
    while len(seen) < 4 and (following := scheduler.next()) is not None:
        assert scheduler.plan(following) == 2
        best_secs = math.inf if following.name == "heavy" else 1.0
        scheduler.observe(following, 2, best_secs, exhausted=False)
        seen.append(following.name)
    assert seen == ["heavy", "middle", "light", "heavy"]
    assert scheduler.plan(tasks[1]) == 16


def test_an_exhausted_space_ends_a_task() -> None:
    mine = task("a")
    scheduler = GradientScheduler([mine], Budget(10_000), 10)
    scheduler.observe(mine, 3, 1.0, exhausted=True)
    assert scheduler.next() is None


@given(st.integers(1, 200), st.integers(1, 12), st.integers(1, 64))
def test_the_budget_is_spent_to_the_last_trial(trials: int, count: int, batch: int) -> None:
    tasks = [task(f"t{number}", weight=number + 1) for number in range(count)]
    scheduler = GradientScheduler(tasks, Budget(trials), batch, ScheduleParameters(patience=10**6))
    spent, seen = 0, set()
    while (following := scheduler.next()) is not None:
        plan = scheduler.plan(following)
        assert 1 <= plan <= batch
        spent += plan
        seen.add(following.key)
        scheduler.observe(following, plan, 1.0, exhausted=False)
    assert spent == trials
    assert len(seen) == min(count, trials)


def test_in_little_time_every_kernel_has_a_few_candidates_before_any_has_another_way() -> None:
    kernels = [task(f"k{number}", flops=number) for number in range(4)]
    others = [replace(k, name=f"o{k.name}", key=f"o{k.name}", computes=k.key) for k in kernels]
    scheduler = GradientScheduler([*others, *kernels], Budget(10_000, search_secs=16.0), 16)
    seen = []
    for _ in range(8):
        following = scheduler.next()
        assert following is not None
        assert scheduler.plan(following) == 4  # half of the time at 0.25 s a trial
        seen.append(following.key)
        scheduler.observe(following, 4, 1.0, exhausted=False)
    assert seen[:4] == ["k3", "k2", "k1", "k0"]
    assert sorted(seen[4:]) == ["ok0", "ok1", "ok2", "ok3"]
    assert scheduler.next() is not None
    assert scheduler.plan(kernels[0]) == 16


def rivals() -> tuple[Task, Task]:
    """Two tasks that compute the same kernel."""
    kernel = task("kernel")
    return kernel, replace(kernel, name="other", key="other", computes=kernel.key)


@pytest.mark.parametrize(("secs", "chances"), [(1.4, ScheduleParameters().chances), (2.0, 1)])
def test_of_two_ways_to_compute_a_kernel_the_slower_is_given_up(secs: float, chances: int) -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    trials = {kernel.key: 0, other.key: 0}
    while (following := scheduler.next()) is not None:
        trials[following.key] += 1
        best = 1.0 if following is other else secs
        scheduler.observe(following, 10, best, exhausted=False)
    assert trials[kernel.key] == chances
    assert trials[other.key] > trials[kernel.key]


def test_a_way_that_may_catch_up_gets_more_trials() -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    for mine, secs in ((kernel, 1.0), (other, 3.0), (kernel, 1.0), (other, 1.4)):
        scheduler.observe(mine, 10, secs, exhausted=False)
    assert scheduler.next() is other  # it gained more than it is behind


def test_a_way_in_which_nothing_runs_is_given_up_at_once_where_another_runs() -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    scheduler.observe(kernel, 10, 1.0, exhausted=False)
    scheduler.observe(other, 10, math.inf, exhausted=False)
    seen = set()
    while (following := scheduler.next()) is not None:
        seen.add(following.key)
        scheduler.observe(following, 10, 1.0, exhausted=False)
    assert seen == {kernel.key}


def test_a_kernel_that_only_one_way_can_compute_goes_on() -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    for _ in range(3):
        scheduler.observe(other, 10, math.inf, exhausted=False)
    scheduler.observe(kernel, 10, 1.0, exhausted=False)
    assert scheduler.next() is kernel
