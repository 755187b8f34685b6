from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.bench.figures.curve import curve_of, incumbents_of
from chameleon_tuner.core.configuration import Configuration, ForeignTrace, LoweredByTVM
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.runlog import Checkpoint, RunLog, Trial, read_log, write_log
from chameleon_tuner.system.files import strict_json


def at(number: int) -> Configuration:
    return Configuration(0, (number, 7))


def ok(number: int, own_us: float) -> Trial:
    return Trial(at(number), Status.OK, own_us / 1e6, 0.2, 0.1)


FAILED = Trial(at(99), Status.BUILD_ERROR, math.inf)

LOG = RunLog(
    recipe="random",
    task="conv",
    seed=3,
    startup_secs=1.0,
    total_secs=12.0,
    spent={"total": 12.0, "build": 8.0},
    batches=(Checkpoint(5.0, 3, 0), Checkpoint(10.0, 6, 40)),
    trials=(ok(0, 50), FAILED, ok(2, 30), ok(3, 40), ok(4, 20), ok(5, 20)),
)

seconds = st.floats(1e-9, 1e3)
trials = st.builds(
    Trial,
    st.one_of(st.none(), st.builds(at, st.integers(0, 9))),
    st.sampled_from(Status),
    st.one_of(seconds, st.just(math.inf)),
    seconds,
    seconds,
    st.one_of(st.none(), st.builds(ForeignTrace, st.text())),
)
logs = st.lists(st.lists(trials, max_size=4), max_size=4).map(
    lambda batches: replace(
        LOG,
        batches=tuple(
            Checkpoint(float(n), sum(len(b) for b in batches[: n + 1]), n)
            for n in range(len(batches))
        ),
        trials=tuple(trial for batch in batches for trial in batch),
    )
)


@given(logs)
def test_a_log_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, log: RunLog) -> None:
    path = tmp_path_factory.mktemp("log") / "log.json"
    write_log(log, path)
    assert read_log(path) == log


def test_costs_that_are_not_known_come_back_so(tmp_path: Path) -> None:
    write_log(replace(LOG, trials=(Trial(None, Status.OK, 1e-3),)), tmp_path / "log.json")
    (trial,) = read_log(tmp_path / "log.json").trials
    assert trial.configuration is None
    assert math.isnan(trial.build_secs)
    assert math.isnan(trial.run_secs)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"recipe": "random"}', '{"batches": 3}'])
def test_a_damaged_log_says_what_to_do(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"log\.json is not the log of a run.*delete it"):
        read_log(path)


@given(logs)
def test_incumbents_improve_and_the_last_is_the_best(log: RunLog) -> None:
    found = log.incumbents()
    own = [incumbent.own_secs for incumbent in found]
    assert own == sorted(set(own), reverse=True)
    finite = [trial.own_secs for trial in log.trials if math.isfinite(trial.own_secs)]
    assert bool(found) == bool(finite)
    if finite:
        assert own[-1] == min(finite)


def test_incumbents_are_known_when_their_batch_ends() -> None:
    told = [(i.seconds, i.measurements, i.steps, i.kernel) for i in LOG.incumbents()]
    assert told == [(5.0, 1, 0, at(0)), (5.0, 3, 0, at(2)), (10.0, 5, 40, at(4))]
    assert LOG.failures() == {"build_error": 1}


def test_a_kernel_without_a_configuration_is_known_by_its_trace() -> None:
    trace = ForeignTrace("[]")
    log = replace(
        LOG, batches=(Checkpoint(5.0, 1),), trials=(Trial(None, Status.OK, 1e-3, trace=trace),)
    )
    assert incumbents_of([log]) == {"conv": [trace]}
    assert curve_of(log, {trace: 7.0}).final_us == 7.0
    assert math.isinf(curve_of(log, {}).final_us)


@pytest.mark.parametrize("recipe", ["metaschedule", "metaschedule:6"])
def test_what_metaschedule_finds_is_lowered_as_tvm_does_it(recipe: str) -> None:
    theirs = replace(LOG, recipe=recipe)
    kernels = [LoweredByTVM(at(number)) for number in (0, 2, 4)]
    assert incumbents_of([theirs]) == {"conv": kernels}
    assert incumbents_of([LOG, theirs]) == {"conv": [at(0), at(2), at(4), *kernels]}
    assert curve_of(theirs, {at(4): 1.0, kernels[-1]: 7.0}).final_us == 7.0


def test_what_ended_after_the_budget_does_not_count() -> None:
    cut = LOG.within(9.0)
    assert len(cut.batches) == 1
    assert len(cut.trials) == 3
    assert cut.total_secs == 9.0
    assert LOG.within(math.inf) == replace(LOG, batches=list(LOG.batches))
    assert LOG.within(1.0).incumbents() == []


def test_a_curve_has_the_neutral_figures_of_incumbents() -> None:
    curve = curve_of(LOG, {at(0): 55.0, at(2): 33.0, at(4): 35.0})
    assert curve.best_us == (55.0, 33.0, 35.0)  # the tuner took a slower one for faster
    assert curve.final_us == 35.0
    assert curve.own_us == pytest.approx((50.0, 30.0, 20.0))
    assert curve.seconds == (5.0, 5.0, 10.0)
    assert curve.steps == (0, 0, 40)
    assert (curve.trials, curve.total_steps, curve.failures) == (6, 40, {"build_error": 1})


def test_a_curve_of_nothing_is_empty_and_infinite() -> None:
    nothing = curve_of(replace(LOG, batches=(), trials=()), {})
    assert nothing.seconds == ()
    assert math.isinf(nothing.final_us)
    assert strict_json(nothing)["final_us"] is None


def test_incumbents_of_all_runs_are_timed_once() -> None:
    other = replace(LOG, seed=4, task="other")
    assert incumbents_of([LOG, replace(LOG, recipe="autotvm"), other]) == {
        "conv": [at(0), at(2), at(4)],
        "other": [at(0), at(2), at(4)],
    }
