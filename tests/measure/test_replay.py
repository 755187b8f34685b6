from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from chameleon_tuner.app.progress import Silent
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.measure.replay import ReplayMeasurer, VirtualClock, replayed
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import TaskSearch, search
from chameleon_tuner.search.recipes import resolve_recipe
from chameleon_tuner.search.schedule import Budget, GradientScheduler
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import (
    matmul_space,
    recorded_conv2d,
    tiny_space,
    two_sketch_space,
)

INF = float("inf")


@dataclass(frozen=True)
class Recorded:
    """The least that a replay needs."""

    task: Task
    outcomes: tuple[Outcome, ...]
    threads: int = 2


def a_task(space: DesignSpace) -> Task:
    return Task("task", "key", "", {}, space)


@cache
def conv2d(failing: int = 7) -> Recorded:
    """The recorded convolution, with made-up costs; every so manyth crashed."""
    space, rows, seconds = recorded_conv2d()
    pairs = enumerate(zip(space.configurations(rows), seconds.tolist(), strict=True))
    return Recorded(
        a_task(space),
        tuple(
            replayed(c, Status.OK, secs, 0.1 + n % 5 / 10, 10 * secs)
            if n % failing
            else replayed(c, Status.CRASHED, INF, 0.1, 2.0)
            for n, (c, secs) in pairs
        ),
    )


def others(count: int, seed: int = 1) -> list[Configuration]:
    """Configurations of the convolution, as good as surely not recorded."""
    space = conv2d().task.space
    return space.configurations(space.sample(count, np.random.default_rng(seed)))


def measured(replay: ReplayMeasurer, configurations: list[Configuration]) -> list[Outcome]:
    [outcomes] = replay.measure([Batch(conv2d().task, configurations, INF)])
    return outcomes


# -- answers


@pytest.mark.parametrize("policy", ["nearest", "surrogate"])
def test_what_was_recorded_comes_back(policy: str) -> None:
    replay = ReplayMeasurer(conv2d(), policy)
    some = list(conv2d().outcomes[::3])
    assert measured(replay, [outcome.configuration for outcome in some]) == some
    assert (replay.exact, replay.estimated) == (len(some), 0)


@pytest.mark.parametrize("policy", ["nearest", "surrogate"])
def test_answers_are_of_what_was_asked_and_do_not_depend_on_the_batch(policy: str) -> None:
    replay, asked = ReplayMeasurer(conv2d(), policy), others(30)
    asked[5:5] = [conv2d().outcomes[3].configuration]
    answers = measured(replay, asked)
    assert [answer.configuration for answer in answers] == asked
    assert [answer.proposed for answer in answers] == asked
    assert len({answer.identity for answer in answers}) == len(set(asked))
    assert (replay.exact, replay.estimated) == (1, 30)
    fresh = ReplayMeasurer(conv2d(), policy)
    assert [measured(fresh, [one])[0] for one in reversed(asked)][::-1] == answers


def test_the_nearest_answers_for_its_neighbour() -> None:
    space = tiny_space()
    tile = [Configuration(0, (index, 0, 0)) for index in range(3)]
    outcomes = (
        replayed(tile[0], Status.OK, 1.0, 0.5, 0.25),
        replayed(Configuration(0, (2, 2, 0)), Status.TIMEOUT, INF, 4.0, 8.0),
    )
    replay = ReplayMeasurer(Recorded(a_task(space), outcomes))
    near = [Configuration(0, (0, 1, 0)), Configuration(0, (2, 1, 0))]
    [[near_ok, near_timeout]] = replay.measure([Batch(a_task(space), near, INF)])
    assert (near_ok.status, near_ok.samples) == (Status.OK, (1.0,))
    assert (near_ok.build_secs, near_ok.run_secs) == (0.5, 0.25)
    assert (near_timeout.status, near_timeout.samples) == (Status.TIMEOUT, ())
    assert (near_timeout.build_secs, near_timeout.run_secs) == (4.0, 8.0)


def test_another_sketch_answers_only_where_there_is_none_of_the_same() -> None:
    space = two_sketch_space()
    rows = space.sample(200, np.random.default_rng(0))
    asked = space.configurations(rows)
    secs = {0: 1.0, 1: 2.0}
    both = [next(c for c in asked if c.sketch == sketch) for sketch in (0, 1)]
    outcomes = tuple(replayed(c, Status.OK, secs[c.sketch], 0.0, 0.0) for c in both)
    answers = ReplayMeasurer(Recorded(a_task(space), outcomes)).true_us(asked) / 1e6
    np.testing.assert_allclose(answers, [secs[c.sketch] for c in asked])
    alone = ReplayMeasurer(Recorded(a_task(space), outcomes[:1]))
    np.testing.assert_allclose(alone.true_us(asked), 1e6)


def test_the_surrogate_predicts_better_than_the_nearest() -> None:
    whole = conv2d(failing=10**6).outcomes[1:]
    known, held_out = Recorded(conv2d().task, whole[::2]), whole[1::2]
    truth = np.log([outcome.seconds * 1e6 for outcome in held_out])
    asked = [outcome.configuration for outcome in held_out]
    correlation = {
        policy: np.corrcoef(np.log(ReplayMeasurer(known, policy).true_us(asked)), truth)[0, 1]
        for policy in ("nearest", "surrogate")
    }
    assert correlation["surrogate"] > 0.8
    assert correlation["surrogate"] > correlation["nearest"] > 0.5


def test_the_surrogate_fails_and_costs_as_the_nearest_does() -> None:
    nearest, surrogate = (ReplayMeasurer(conv2d(), p) for p in ("nearest", "surrogate"))
    pairs = zip(measured(nearest, others(100)), measured(surrogate, others(100)), strict=True)
    different = 0
    for one, other in pairs:
        assert (one.status, one.build_secs, one.run_secs, len(one.samples)) == (
            *(other.status, other.build_secs, other.run_secs, len(other.samples)),
        )
        different += one.samples != other.samples
    assert different > 50


@pytest.mark.parametrize("policy", ["nearest", "surrogate"])
def test_where_everything_failed_everything_fails(policy: str) -> None:
    failed = replayed(Configuration(0, (0, 0, 0)), Status.BUILD_ERROR, INF, 1.0, 0.0)
    replay = ReplayMeasurer(Recorded(a_task(tiny_space()), (failed,)), policy)
    asked = Batch(a_task(tiny_space()), [Configuration(0, (1, 1, 1))], INF)
    [[answer]] = replay.measure([asked])
    assert answer.status is Status.BUILD_ERROR


@pytest.mark.parametrize("policy", ["nearest", "surrogate"])
def test_the_truth_is_what_is_measured(policy: str) -> None:
    replay, asked = ReplayMeasurer(conv2d(), policy), others(50)
    truth = replay.true_us(asked)
    assert (replay.exact, replay.estimated) == (0, 0)
    assert truth.tolist() == [answer.seconds * 1e6 for answer in measured(replay, asked)]
    assert replay.true_us([]).tolist() == []


# -- what cannot be


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="known: nearest, surrogate"):
        ReplayMeasurer(conv2d(), "farthest")


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is recorded of task"):
        ReplayMeasurer(Recorded(a_task(tiny_space()), ()))


def test_another_task_is_refused() -> None:
    dense = Task("dense", "other", "", {}, matmul_space())
    with pytest.raises(UsageError, match="not dense"):
        ReplayMeasurer(conv2d()).measure([Batch(dense, [], INF)])


# -- the clock


def test_a_batch_builds_in_parallel_and_runs_in_turn() -> None:
    costs = [(0.5, 0.1), (0.2, 0.2), (0.5, 0.3)]
    asked = [Configuration(0, (0, index, 0)) for index in range(3)]
    outcomes = tuple(
        replayed(c, Status.OK, 1.0, build, run)
        for c, (build, run) in zip(asked, costs, strict=True)
    )
    clock, task = VirtualClock(), a_task(tiny_space())
    replay = ReplayMeasurer(Recorded(task, outcomes), clock=clock)
    replay.measure([Batch(task, asked, INF)])
    assert clock.seconds()["build"] == pytest.approx(0.6)
    assert clock.seconds()["run"] == pytest.approx(0.6)
    replay.measure([Batch(task, asked[:1], INF)])
    assert clock.seconds()["build"] == pytest.approx(0.6 + 0.5)  # one core builds it
    replay.measure([Batch(task, [], INF)])
    assert clock.total() == pytest.approx(0.6 + 0.5 + 0.6 + 0.1)


def test_a_virtual_clock_moves_only_when_told() -> None:
    clock = VirtualClock()
    with clock.timing("explore"):
        time.sleep(0.01)
    assert clock.total() == 0
    clock.advance("build", 2.5)
    clock.advance("run", 0.5)
    seconds = clock.seconds()
    assert (seconds["build"], seconds["run"], seconds["explore"]) == (2.5, 0.5, 0.0)
    assert (seconds["other"], seconds["total"], clock.total()) == (0.0, 3.0, 3.0)


@pytest.mark.parametrize("seconds", [-1.0, INF, float("nan")])
def test_a_virtual_clock_goes_forwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot advance"):
        VirtualClock().advance("run", seconds)


# -- a whole search


def searched(policy: str) -> str:
    """All that a search of 32 trials on the recording found, as text."""
    recording, clock = conv2d(), VirtualClock()
    recipe, task = resolve_recipe("chameleon"), recording.task
    shared = SharedRecords()
    mine = TaskSearch(
        History(task.space),
        recipe.surrogate(task, shared),
        recipe.explorer(shared),
        recipe.sampler(task),
        np.random.default_rng(3),
    )
    scheduler = GradientScheduler([task], Budget(32), recipe.batch)
    replay = ReplayMeasurer(recording, policy, clock)
    search(scheduler, {task.key: mine}, replay, Silent(), clock)
    assert len(mine.history) == 32
    return repr((mine.history.outcomes, clock.seconds(), replay.exact, replay.estimated))


@pytest.mark.parametrize("policy", ["nearest", "surrogate"])
def test_a_replayed_search_is_the_same_in_every_process_and_needs_no_tvm(policy: str) -> None:
    code = (
        "import runpy, sys\n"
        "found = runpy.run_path(sys.argv[1])['searched'](sys.argv[2])\n"
        "assert 'tvm' not in sys.modules\n"
        "print(found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, __file__, policy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == searched(policy) == searched(policy)
