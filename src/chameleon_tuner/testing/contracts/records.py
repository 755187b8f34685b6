# ruff: noqa: D102 - the name of a test says what it checks
"""The contract of stores of records; inherit it to test another kind of database.

class TestPostgres(DurableStoreContract):
    @pytest.fixture
    def place(self) -> str: ...  # the URL of an empty database
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import true

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import REPEAT
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.portable import PortableRecord, read_portable
from chameleon_tuner.testing.made import (
    ENVIRONMENT,
    RUN,
    WORKLOAD,
    in_world,
    make_outcome,
    new_workload,
)

_secs = st.floats(min_value=0, allow_nan=False)
_configurations = st.builds(
    Configuration, st.integers(0, 3), st.lists(st.integers(0, 5000), max_size=6).map(tuple)
)
outcomes = st.builds(
    Outcome,
    configuration=_configurations,
    proposed=_configurations,
    structural_hash=st.text("0123456789abcdef", max_size=8),
    status=st.sampled_from(Status),
    samples=st.lists(_secs, max_size=4).map(tuple),
    message=st.text(st.characters(), max_size=20),
    build_secs=_secs,
    run_secs=_secs,
)
"""A strategy for any outcome, even with NUL, lone surrogates, infinite or denormal seconds."""


def portable_of(store: RecordStore) -> list[PortableRecord]:
    """Return all records of a store."""
    with store.reading() as connection:
        return [record for _, record in read_portable(connection, true())]


_lenient = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


class StoreContract:
    """The contract of every store of records; override `place`."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> str | Path:
        """Return the place of a database that is empty."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, place: str | Path) -> Iterator[RecordStore]:
        """Yield a store of that place."""
        with RecordStore.open(place) as store:
            yield store

    @_lenient
    @given(batch=st.lists(outcomes, unique_by=lambda outcome: outcome.identity, max_size=8))
    def test_outcomes_come_back_exactly(self, store: RecordStore, batch: list[Outcome]) -> None:
        workload, run = new_workload(), store.begin(RUN)
        assert store.append(run, workload, ENVIRONMENT, batch) == batch
        assert store.outcomes(workload, ENVIRONMENT) == batch

    @_lenient
    @given(
        batches=st.lists(
            st.lists(st.builds(Configuration, st.just(0), st.tuples(*[st.integers(0, 4)] * 2))),
            max_size=4,
        )
    )
    def test_what_append_returns_is_what_is_recalled(
        self, store: RecordStore, batches: list[list[Configuration]]
    ) -> None:
        workload, run, clock = new_workload(), store.begin(RUN), itertools.count()
        told: dict[Configuration, Outcome] = {}
        for batch in batches:
            answers = [in_world(proposed, next(clock)) for proposed in batch]
            for outcome in store.append(run, workload, ENVIRONMENT, answers):
                assert told.setdefault(outcome.proposed, outcome) == outcome
        memory = store.lookup(workload, ENVIRONMENT)
        assert {proposed: memory.recall(proposed) for proposed in told} == told
        assert len(memory) == len({outcome.structural_hash for outcome in told.values()})

    def test_order_is_that_of_measuring(self, store: RecordStore) -> None:
        run = store.begin(RUN)
        numbers = [5, 3, 9, 1, 7, 2]
        for start in (0, 2, 4):
            batch = [make_outcome(number) for number in numbers[start : start + 2]]
            store.append(run, WORKLOAD, ENVIRONMENT, batch)
        expected = [make_outcome(number) for number in numbers]
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == expected

    def test_measurements_of_all_workloads_are_in_their_order(self, store: RecordStore) -> None:
        run, elsewhere = store.begin(RUN), replace(ENVIRONMENT, device="another cpu")
        first, second = new_workload(), new_workload()
        asked = [(first, ENVIRONMENT, 5), (second, elsewhere, 3), (first, ENVIRONMENT, 1)]
        for workload, environment, number in asked:
            store.append(run, workload, environment, [make_outcome(number)])
        store.append(run, second, ENVIRONMENT, [make_outcome(7)], purpose="probe")
        found = [(m.workload, m.environment, m.record.outcome) for m in store.measurements()]
        assert found == [(w.hash, e.fingerprint, make_outcome(n)) for w, e, n in asked]

    def test_a_batch_may_be_empty_or_large(self, store: RecordStore) -> None:
        run, batch = store.begin(RUN), [make_outcome(number) for number in range(2_500)]
        assert store.append(run, WORKLOAD, ENVIRONMENT, []) == []
        assert store.append(run, WORKLOAD, ENVIRONMENT, batch) == batch
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == batch

    def test_a_batch_is_stored_whole_or_not_at_all(self, store: RecordStore) -> None:
        run = store.begin(RUN)
        unstorable = make_outcome(2, configuration=Configuration(0, (object(),)))  # type: ignore[arg-type]
        with pytest.raises(Exception, match="JSON"):
            store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1), unstorable])
        with pytest.raises(ValueError, match="NaN"):
            store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1, samples=(float("nan"),))])
        with pytest.raises(RecordsError, match="begin"):
            store.append(run + 1, WORKLOAD, ENVIRONMENT, [make_outcome(1)])
        assert store.workloads() == []
        assert store.environments() == []
        assert store.count(run) == {}

    # -- identity

    def test_the_first_of_an_identity_stays(self, store: RecordStore) -> None:
        run, first = store.begin(RUN), make_outcome(1)
        other = Configuration(1, (4, 4))
        again = replace(first, configuration=other, proposed=other, samples=(9.0, 8.0))
        store.append(run, WORKLOAD, ENVIRONMENT, [first])
        for _ in range(2):
            returned = store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(2), again])
            assert returned[1] == replace(again, samples=first.samples)
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == [first, make_outcome(2)]
        assert store.lookup(WORKLOAD, ENVIRONMENT).recall(other) == returned[1]
        repeats = store.samples(WORKLOAD, ENVIRONMENT, REPEAT)
        assert repeats["module-1"] == (9.0, 8.0, 9.0, 8.0)

    def test_a_batch_may_hold_an_identity_twice(self, store: RecordStore) -> None:
        run, first = store.begin(RUN), make_outcome(1)
        second = replace(first, proposed=Configuration(0, (9, 9)), samples=(5.0,))
        returned = store.append(run, WORKLOAD, ENVIRONMENT, [first, second])
        assert returned == [first, replace(second, samples=first.samples)]
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == [first]
        assert store.samples(WORKLOAD, ENVIRONMENT, REPEAT) == {"module-1": (5.0,)}

    def test_without_a_module_the_configuration_is_the_identity(self, store: RecordStore) -> None:
        run = store.begin(RUN)
        refused = [
            make_outcome(number, structural_hash="", status=Status.REJECTED, samples=())
            for number in (1, 2)
        ]
        store.append(run, WORKLOAD, ENVIRONMENT, refused)
        store.append(run, WORKLOAD, ENVIRONMENT, refused)
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == refused
        assert store.lookup(WORKLOAD, ENVIRONMENT).recall(refused[1].proposed) == refused[1]

    def test_workloads_and_environments_are_apart(self, store: RecordStore) -> None:
        run, workload = store.begin(RUN), new_workload()
        faster = replace(ENVIRONMENT, versions={**ENVIRONMENT.versions, "tvm": "0.28.0"})
        places = [(WORKLOAD, ENVIRONMENT), (workload, ENVIRONMENT), (WORKLOAD, faster)]
        for number, place in enumerate(places):
            store.append(run, *place, [make_outcome(0, samples=(float(number),))])
        for number, place in enumerate(places):
            assert [o.samples for o in store.outcomes(*place)] == [(float(number),)]
        assert store.workloads() == [WORKLOAD, workload]
        assert store.environments() == [ENVIRONMENT, faster]
        assert store.outcomes(workload, faster) == []
        assert len(store.lookup(workload, faster)) == 0

    # -- purposes

    def test_more_samples_leave_the_outcome_alone(self, store: RecordStore) -> None:
        run, outcome = store.begin(RUN), make_outcome(1)
        store.append(run, WORKLOAD, ENVIRONMENT, [outcome, make_outcome(2)])
        for samples in ([3e-3, 1e-3], [], [2e-3]):
            store.add_samples(WORKLOAD, ENVIRONMENT, "module-1", "final", samples)
        final = store.samples(WORKLOAD, ENVIRONMENT, "final")
        assert final == {"module-1": (3e-3, 1e-3, 2e-3)}
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == [outcome, make_outcome(2)]
        assert store.samples(WORKLOAD, ENVIRONMENT, "search")["module-1"] == outcome.samples

    def test_samples_of_what_is_not_stored_are_refused(self, store: RecordStore) -> None:
        run = store.begin(RUN)
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1)])
        with pytest.raises(KeyError, match="module-2"):
            store.add_samples(WORKLOAD, ENVIRONMENT, "module-2", "final", [1.0])
        with pytest.raises(KeyError, match="module-1"):
            store.add_samples(new_workload(), ENVIRONMENT, "module-1", "final", [1.0])

    def test_what_is_recalled_never_changes(self, store: RecordStore) -> None:
        run = store.begin(RUN)
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1)])
        with pytest.raises(ValueError, match="never change"):
            store.add_samples(WORKLOAD, ENVIRONMENT, "module-1", "search", [1.0])
        with pytest.raises(ValueError, match="reserved"):
            store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(2)], purpose=REPEAT)
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == [make_outcome(1)]

    def test_purposes_are_apart(self, store: RecordStore) -> None:
        run, untuned = store.begin(RUN), make_outcome(0, configuration=Configuration(-1, ()))
        store.append(run, WORKLOAD, ENVIRONMENT, [untuned], purpose="untuned")
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1)])
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == [make_outcome(1)]
        assert store.outcomes(WORKLOAD, ENVIRONMENT, "untuned") == [untuned]
        memory = store.lookup(WORKLOAD, ENVIRONMENT)
        assert memory.recall_module("module-0") == untuned

    # -- records of other stores

    def test_records_of_another_store_are_added_once(self, store: RecordStore) -> None:
        alias = replace(make_outcome(1), proposed=Configuration(2, (2, 2)))
        with RecordStore.open("sqlite://") as other:
            run = other.begin(RUN)
            other.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1), make_outcome(2), alias])
            other.add_samples(WORKLOAD, ENVIRONMENT, "module-2", "final", [1.5, 1.25])
            records = portable_of(other)
            assert [store.add(records) for _ in range(2)] == [2, 0]
            for reads in (
                lambda s: s.outcomes(WORKLOAD, ENVIRONMENT),
                lambda s: s.samples(WORKLOAD, ENVIRONMENT, "final"),
                lambda s: s.samples(WORKLOAD, ENVIRONMENT, REPEAT),
                lambda s: s.lookup(WORKLOAD, ENVIRONMENT).recall(alias.proposed),
                lambda s: [(run.info, run.created_at) for run in s.runs()],
                lambda s: [s.count(run.id) for run in s.runs()],
            ):
                assert reads(store) == reads(other)

    def test_of_two_stores_the_first_measurement_stands(self, store: RecordStore) -> None:
        store.append(store.begin(RUN), WORKLOAD, ENVIRONMENT, [make_outcome(1)])
        with RecordStore.open("sqlite://") as other:
            slower = make_outcome(1, samples=(7.0,))
            other.append(other.begin(RUN), WORKLOAD, ENVIRONMENT, [make_outcome(2), slower])
            other.add_samples(WORKLOAD, ENVIRONMENT, "module-1", "final", [7.5])
            assert store.add(portable_of(other)) == 1
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == [make_outcome(1), make_outcome(2)]
        assert store.samples(WORKLOAD, ENVIRONMENT, "final") == {"module-1": (7.5,)}

    def test_records_may_be_added_for_a_run(self, store: RecordStore) -> None:
        own = replace(RUN, seed=8)
        with RecordStore.open("sqlite://") as other:
            other.append(other.begin(RUN), WORKLOAD, ENVIRONMENT, [make_outcome(1)])
            store.add(portable_of(other), own)
        assert [run.info for run in store.runs()] == [own]
        run_id = store.run_id(own)
        assert run_id is not None
        assert store.run_id(RUN) is None
        [past] = store.past(run_id)
        assert (past.workload, past.environment) == (WORKLOAD, ENVIRONMENT)
        assert past.outcomes == [make_outcome(1)]

    # -- runs

    def test_the_same_run_goes_on(self, store: RecordStore) -> None:
        first = store.begin(RUN)
        other = store.begin(replace(RUN, seed=2**63 - 1))
        again = store.begin(replace(RUN, settings={"targets": ["llvm"], "trials": 100}))
        assert again == first != other
        runs = store.runs()
        assert [run.id for run in runs] == [first, other]
        assert [run.info for run in runs] == [RUN, replace(RUN, seed=2**63 - 1)]
        age = datetime.now(timezone.utc) - runs[0].created_at
        assert timedelta(0) <= age < timedelta(minutes=5)

    def test_counts_are_those_of_the_run(self, store: RecordStore) -> None:
        run, other = store.begin(RUN), store.begin(replace(RUN, seed=8))
        batch = [make_outcome(1), make_outcome(2), make_outcome(3, status=Status.TIMEOUT)]
        store.append(run, WORKLOAD, ENVIRONMENT, batch)
        store.append(other, WORKLOAD, ENVIRONMENT, [*batch, make_outcome(4)])
        assert store.count(run) == {Status.OK: 2, Status.TIMEOUT: 1}
        assert store.count(other) == {Status.OK: 1}

    # -- ownership

    def test_threads_are_served_in_turn(self, store: RecordStore) -> None:
        run = store.begin(RUN)

        def append(number: int) -> None:
            batch = [make_outcome(10 * number + i) for i in range(10)]
            store.append(run, WORKLOAD, ENVIRONMENT, batch)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(append, range(12)))
        numbers = [int(o.structural_hash[7:]) for o in store.outcomes(WORKLOAD, ENVIRONMENT)]
        assert sorted(numbers) == list(range(120))
        assert all(numbers[i + 1] == numbers[i] + 1 for i in range(119) if (i + 1) % 10)

    def test_a_closed_store_says_so(self, store: RecordStore) -> None:
        store.close()
        store.close()
        calls: list[Callable[[], object]] = [store.runs, lambda: store.begin(RUN)]
        for call in calls:
            with pytest.raises(RecordsError, match="closed"):
                call()


class DurableStoreContract(StoreContract):
    """The contract of stores whose database outlives the store."""

    def test_the_same_measurement_may_be_added_by_many_at_the_same_moment(
        self, place: str | Path
    ) -> None:
        with RecordStore.open("sqlite://") as source:
            batch = [make_outcome(number) for number in range(40)]
            source.append(source.begin(RUN), WORKLOAD, ENVIRONMENT, batch)
            records = portable_of(source)
        RecordStore.open(place).close()

        def add(number: int) -> int:
            with RecordStore.open(place) as store:
                return sum(store.add(records[start : start + 4]) for start in range(0, 40, 4))

        with ThreadPoolExecutor(4) as threads:
            added = list(threads.map(add, range(4)))
        assert sum(added) == 40
        with RecordStore.open(place) as store:
            assert store.outcomes(WORKLOAD, ENVIRONMENT) == batch

    def test_everything_is_there_after_reopening(self, place: str | Path) -> None:
        alias = replace(make_outcome(1), proposed=Configuration(2, (2, 2)))
        with RecordStore.open(place) as store:
            run = store.begin(RUN)
            store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1), make_outcome(2)])
            store.append(run, WORKLOAD, ENVIRONMENT, [alias])
            store.add_samples(WORKLOAD, ENVIRONMENT, "module-2", "final", [1.5])
        with RecordStore.open(place) as store:
            assert store.begin(RUN) == run
            assert store.outcomes(WORKLOAD, ENVIRONMENT) == [make_outcome(1), make_outcome(2)]
            assert store.lookup(WORKLOAD, ENVIRONMENT).recall(alias.proposed) == alias
            assert store.samples(WORKLOAD, ENVIRONMENT, "final") == {"module-2": (1.5,)}
            assert store.workloads() == [WORKLOAD]
            assert store.environments() == [ENVIRONMENT]

    def test_others_read_while_a_run_writes(self, place: str | Path) -> None:
        with RecordStore.open(place) as writer, RecordStore.open(place) as reader:
            run = writer.begin(RUN)
            for number in range(3):
                writer.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(number)])
                assert len(reader.outcomes(WORKLOAD, ENVIRONMENT)) == number + 1
