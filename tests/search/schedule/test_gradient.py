from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.schedule import (
    FIRST,
    LEAST,
    Budget,
    GradientScheduler,
    ScheduleParameters,
)
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import tiny_space


def task(name: str, weight: int = 1, flops: float = 1.0) -> Task:
    return Task(name, name, "", {}, tiny_space(), weight, flops)


def unlike(name: str, size: int) -> Task:
    """A task whose space is of another size than the others'; the larger the more work."""
    space = DesignSpace((Sketch((Choice(tuple(range(size))),)),))
    return Task(name, name, "", {}, space, flops=float(size))


def following(scheduler: GradientScheduler) -> Task | None:
    """The one that is next, where none is measured together with it."""
    plans = scheduler.next()
    assert len(plans) <= 1
    return plans[0].task if plans else None


def test_every_task_first_the_heaviest_before() -> None:
    tasks = [task("light", flops=1), task("heavy", flops=9), task("often", weight=5, flops=1)]
    scheduler = GradientScheduler(tasks, Budget(1000), 16)
    seen = []
    for _ in tasks:
        [plan] = scheduler.next()
        seen.append(plan.task.name)
        scheduler.observe(plan.task, 16, 1.0, exhausted=False)
    assert seen == ["heavy", "often", "light"]


def test_kernels_with_known_defaults_wait_for_those_that_matter_more() -> None:
    heavy, light = task("heavy", weight=3), task("light")
    defaults = {heavy.kernel: 1.0, light.kernel: 0.1}
    scheduler = GradientScheduler(
        [light, heavy], Budget(1000, search_secs=0.1), 16, defaults=defaults
    )
    seen = []
    for _ in range(8):
        [plan] = scheduler.next()
        assert plan.trials == (LEAST if plan.task.name in seen else FIRST)
        seen.append(plan.task.name)
        scheduler.observe(plan.task, LEAST, 0.9 if plan.task is heavy else 0.2, exhausted=False)
    # 3 * 0.9 / 4, 3 * 0.9 / 8, ... for the heavy one, until the light one's 0.1 is more
    assert seen == ["heavy"] * 7 + ["light"]
    known = GradientScheduler([light, heavy], Budget(1000), 16, defaults={heavy.kernel: 1.0})
    assert following(known) is light  # nothing is known of it


def test_trials_go_where_the_network_gains_most() -> None:
    big, small = task("big", weight=10), task("small", weight=1)
    scheduler = GradientScheduler([big, small], Budget(1000), 10)
    for mine in (big, small):
        scheduler.observe(mine, 10, 1.0, exhausted=False)
    assert following(scheduler) is big
    scheduler.observe(small, 10, 0.01, exhausted=False)  # it just gained a lot
    scheduler.observe(big, 10, 1.0, exhausted=False)
    assert following(scheduler) is big  # ten calls of a second, against one of a hundredth


def test_a_plateau_ends_a_task() -> None:
    parameters = ScheduleParameters(patience=3)
    mine = task("a")
    scheduler = GradientScheduler([mine], Budget(10_000), 10, parameters)
    rounds = 0
    while scheduler.next():
        rounds += 1
        scheduler.observe(mine, 10, 1.0 if rounds > 4 else 1.0 / rounds + 1, exhausted=False)
    assert 4 < rounds <= 9


def test_a_time_budget_is_spent_on_plateaus_too_but_on_what_gains_before() -> None:
    """Twelve more minutes on them gained ResNet-18's kernels 2.7% (docs/evaluation.md)."""
    now = 0.0
    flat, falling = task("flat", flops=9), task("falling")
    budget = Budget(10_000, 200.0, now=lambda: now)
    scheduler = GradientScheduler([flat, falling], budget, 10, ScheduleParameters(patience=3))
    chosen, secs = [], 1.0
    while (mine := following(scheduler)) is not None:
        chosen.append(mine.name)
        secs *= 0.9 if mine is falling and now < 100.0 else 1.0
        scheduler.observe(mine, 10, secs if mine is falling else 1.0, exhausted=False)
        now += 1.0
    assert len(chosen) == 200
    assert "flat" not in chosen[10:100]
    assert "flat" in chosen[110:]


def test_a_time_budget_is_not_spent_where_all_is_measured_or_nothing_runs() -> None:
    measured, failing = task("measured"), task("failing")
    budget = Budget(10_000, 1.0, now=lambda: 0.0)
    scheduler = GradientScheduler([measured, failing], budget, 10, ScheduleParameters(hopeless=1))
    scheduler.observe(measured, 10, 1.0, exhausted=True)
    scheduler.observe(failing, 10, math.inf, exhausted=False)
    assert not scheduler.next()


def test_a_task_that_never_runs_is_given_up() -> None:
    parameters = ScheduleParameters(hopeless=2)
    mine = task("a")
    scheduler = GradientScheduler([mine], Budget(10_000), 10, parameters)
    for _ in range(2):
        assert following(scheduler) is mine
        scheduler.observe(mine, 10, math.inf, exhausted=False)
    assert not scheduler.next()


def test_a_first_batch_that_failed_is_made_up_for_when_all_had_theirs() -> None:
    """And with as few: its candidates may have taken all the time that they were given."""
    tasks = [task("heavy", flops=9), task("middle", flops=4), task("light", flops=1)]
    scheduler = GradientScheduler(tasks, Budget(1000, search_secs=3.0), 16)
    seen = []
    for _ in range(4):
        [plan] = scheduler.next()
        assert plan.trials == 2
        best_secs = math.inf if plan.task.name == "heavy" else 1.0
        scheduler.observe(plan.task, 2, best_secs, exhausted=False)
        seen.append(plan.task.name)
    assert seen == ["heavy", "middle", "light", "heavy"]
    scheduler.observe(tasks[0], 2, 1.0, exhausted=False)
    assert [plan.trials for plan in scheduler.next()] == [4]


def test_small_batches_do_not_end_a_task_after_fewer_trials() -> None:
    mine, patience = task("a"), ScheduleParameters().patience
    scheduler = GradientScheduler([mine], Budget(10_000, search_secs=1.0), 16)
    trials = 0
    while plans := scheduler.next():
        [plan] = plans
        trials += plan.trials
        scheduler.observe(mine, plan.trials, 1.0, exhausted=False)
    assert 16 * patience <= trials <= 16 * (patience + 1)


def test_an_exhausted_space_ends_a_task() -> None:
    mine = task("a")
    scheduler = GradientScheduler([mine], Budget(10_000), 10)
    scheduler.observe(mine, 3, 1.0, exhausted=True)
    assert not scheduler.next()


@given(st.integers(1, 200), st.integers(1, 12), st.integers(1, 64), st.integers(1, 99))
def test_the_budget_is_spent_to_the_last_trial(
    trials: int, count: int, batch: int, together: int
) -> None:
    tasks = [unlike(f"t{number}", number + 2) for number in range(count)]
    patient = ScheduleParameters(patience=10**6)
    scheduler = GradientScheduler(tasks, Budget(trials), batch, patient, together)
    spent, seen = 0, set()
    while plans := scheduler.next():
        for plan in plans:
            assert 1 <= plan.trials <= batch
            spent += plan.trials
            seen.add(plan.task.key)
            scheduler.observe(plan.task, plan.trials, 1.0, exhausted=False)
    assert spent == trials
    assert len(seen) == min(count, trials)


def test_in_little_time_every_kernel_has_a_few_candidates_before_any_has_another_way() -> None:
    kernels = [task(f"k{number}", flops=number) for number in range(4)]
    others = [replace(k, name=f"o{k.name}", key=f"o{k.name}", computes=k.key) for k in kernels]
    scheduler = GradientScheduler([*others, *kernels], Budget(10_000, search_secs=16.0), 16)
    seen = []
    for _ in range(8):
        [plan] = scheduler.next()
        assert plan.trials == 4  # half of the time at 0.25 s a trial
        seen.append(plan.task.key)
        scheduler.observe(plan.task, 4, 1.0, exhausted=False)
    assert seen[:4] == ["k3", "k2", "k1", "k0"]
    assert sorted(seen[4:]) == ["ok0", "ok1", "ok2", "ok3"]
    assert [plan.trials for plan in scheduler.next()] == [8]


def test_small_batches_are_measured_together() -> None:
    """Each has two in half of the time and four in all of it."""
    tasks = [unlike(f"of{size}", size) for size in (5, 4, 3)]
    scheduler = GradientScheduler(tasks, Budget(1000, search_secs=3.0), 16, together=4)
    first = scheduler.next()
    assert [(plan.task.name, plan.trials) for plan in first] == [("of5", 2), ("of4", 2)]
    for plan in first:
        scheduler.observe(plan.task, plan.trials, 1.0, exhausted=False)
    [last] = scheduler.next()
    assert (last.task.name, last.trials) == ("of3", 2)
    scheduler.observe(last.task, 2, 1.0, exhausted=False)
    assert [plan.trials for plan in scheduler.next()] == [4]


def test_nobody_has_a_second_turn_before_all_had_one() -> None:
    """Also where those that wait are of the same space, and go one after another."""
    tasks = [unlike("of9", 9), *(task(f"t{number}", flops=1.0) for number in range(3))]
    scheduler = GradientScheduler(tasks, Budget(1000, search_secs=3.0), 16, together=8)
    seen = []
    while len(seen) < len(tasks):
        for plan in scheduler.next():
            seen.append(plan.task.name)
            scheduler.observe(plan.task, plan.trials, 1.0, exhausted=False)
    assert seen == ["of9", "t0", "t1", "t2"]


def test_a_batch_that_is_enough_is_measured_alone() -> None:
    tasks = [unlike("of5", 5), unlike("of4", 4)]
    scheduler = GradientScheduler(tasks, Budget(1000), 16, together=16)
    assert len(scheduler.next()) == 1


def test_tasks_of_the_same_space_are_not_measured_together() -> None:
    tasks = [task("a", flops=3), task("b", flops=2), unlike("of9", 9)]
    scheduler = GradientScheduler(tasks, Budget(1000), 1, together=8)
    assert [plan.task.name for plan in scheduler.next()] == ["of9", "a"]


def rivals() -> tuple[Task, Task]:
    """Two tasks that compute the same kernel."""
    kernel = task("kernel")
    return kernel, replace(kernel, name="other", key="other", computes=kernel.key)


@pytest.mark.parametrize(("secs", "chances"), [(1.4, ScheduleParameters().chances), (2.0, 1)])
def test_of_two_ways_to_compute_a_kernel_the_slower_is_given_up(secs: float, chances: int) -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    trials = {kernel.key: 0, other.key: 0}
    while (mine := following(scheduler)) is not None:
        trials[mine.key] += 1
        best = 1.0 if mine is other else secs
        scheduler.observe(mine, 10, best, exhausted=False)
    assert trials[kernel.key] == chances
    assert trials[other.key] > trials[kernel.key]


def test_a_way_that_may_catch_up_gets_more_trials() -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    for mine, secs in ((kernel, 1.0), (other, 3.0), (kernel, 1.0), (other, 1.4)):
        scheduler.observe(mine, 10, secs, exhausted=False)
    assert following(scheduler) is other  # it gained more than it is behind


def test_a_way_in_which_nothing_runs_is_given_up_at_once_where_another_runs() -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    scheduler.observe(kernel, 10, 1.0, exhausted=False)
    scheduler.observe(other, 10, math.inf, exhausted=False)
    seen = set()
    while (mine := following(scheduler)) is not None:
        seen.add(mine.key)
        scheduler.observe(mine, 10, 1.0, exhausted=False)
    assert seen == {kernel.key}


def test_a_kernel_that_only_one_way_can_compute_goes_on() -> None:
    kernel, other = rivals()
    scheduler = GradientScheduler([kernel, other], Budget(10_000), 10)
    for _ in range(3):
        scheduler.observe(other, 10, math.inf, exhausted=False)
    scheduler.observe(kernel, 10, 1.0, exhausted=False)
    assert following(scheduler) is kernel


def test_small_batches_count_together() -> None:
    """Patience is a number of trials, also where a sampler chooses fewer than were planned."""
    one = task("one")
    scheduler = GradientScheduler([one], Budget(10_000), 16)
    for _ in range(5):
        scheduler.observe(one, 16, 1.0, exhausted=False)
    assert len(scheduler.standings[one.key].best_secs) == 5
    for _ in range(4):
        scheduler.observe(one, 4, 0.9, exhausted=False)
    assert len(scheduler.standings[one.key].best_secs) == 6  # 5 and one of four parts
    assert scheduler.standings[one.key].fastest_secs == 0.9
    assert scheduler.standings[one.key].trials == 96


def test_what_is_known_counts_as_if_it_had_been_measured() -> None:
    known, fresh = task("known"), task("fresh")
    scheduler = GradientScheduler([known, fresh], Budget(200), 16)
    scheduler.recall(known, [3.0, 2.0, *[1.0] * 128], exhausted=False)
    assert scheduler.trials_left() == 70
    assert scheduler.standings[known.key].settled(ScheduleParameters())
    assert following(scheduler) is fresh
    scheduler.recall(fresh, [1.0] * 20, exhausted=True)
    assert scheduler.next() == []  # one is on a plateau, the other has nothing left
