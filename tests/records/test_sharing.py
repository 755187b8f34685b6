"""What a run takes from the store of all runs: its own kernels' records, and their relatives'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chameleon_tuner.ports.records import Environment, RunInfo, Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records import sharing as sharing_module
from chameleon_tuner.records.sharing import BEGAN_WITH, RECORDS_EACH, RELATIVES, begin_with
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, make_outcome

ELSEWHERE = replace(ENVIRONMENT, device="another cpu")
MINE = RunInfo("sha256:mine", "chameleon", 3, {})


def kernel(name: str, flops: float, family: str = "conv") -> Workload:
    return Workload(name, name, "{}", "[]", family, {"flops": flops})


@pytest.fixture
def store() -> Iterator[RecordStore]:
    with RecordStore.open("sqlite://") as store:
        yield store


@pytest.fixture
def own() -> Iterator[RecordStore]:
    with RecordStore.open("sqlite://") as store:
        yield store


def measure(
    store: RecordStore, workload: Workload, count: int, environment: Environment = ENVIRONMENT
) -> None:
    batch = [make_outcome(number) for number in range(count)]
    store.append(store.begin(RUN), workload, environment, batch)


def taken(own: RecordStore, store: RecordStore | None, *mine: Workload) -> dict[str, int]:
    """The numbers of outcomes that a run takes, by name and device."""
    past = begin_with(own, MINE, store, mine, ENVIRONMENT)
    return {f"{one.workload.name} {one.environment.device}": len(one.outcomes) for one in past}


def test_all_of_the_same_kernel_on_the_same_device(store: RecordStore, own: RecordStore) -> None:
    measure(store, kernel("a", 1e6), RECORDS_EACH + 50)
    measure(store, kernel("a", 1e6), 7, ELSEWHERE)
    measure(store, kernel("other", 1e6, "pool"), 5)
    assert taken(own, store, kernel("a", 1e6)) == {"a some cpu": RECORDS_EACH + 50}


def test_the_same_kernel_elsewhere_is_the_nearest_relative(
    store: RecordStore, own: RecordStore
) -> None:
    measure(store, kernel("a", 1e6), 7, ELSEWHERE)
    measure(store, kernel("b", 1e6), 5)
    found = taken(own, store, kernel("a", 1e6))
    assert found == {"a another cpu": 7, "b some cpu": 5}
    assert next(iter(found)) == "a another cpu"


def test_the_relatives_are_those_of_the_nearest_size(store: RecordStore, own: RecordStore) -> None:
    for number in range(8):
        measure(store, kernel(f"k{number}", 10.0**number), RECORDS_EACH + number)
    found = taken(own, store, kernel("mine", 2e4))
    assert found == dict.fromkeys(
        ["k4 some cpu", "k5 some cpu", "k3 some cpu", "k6 some cpu"], RECORDS_EACH
    )
    assert len(found) == RELATIVES


def test_a_relative_is_preferably_one_of_this_device(store: RecordStore, own: RecordStore) -> None:
    measure(store, kernel("b", 1e6), 5)
    measure(store, kernel("b", 1e6), 9, ELSEWHERE)
    assert taken(own, store, kernel("a", 1e6)) == {"b some cpu": 5}


def test_a_network_takes_no_more_than_some_relatives(
    store: RecordStore, own: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing_module, "MOST_RELATIVES", 3)
    mine = [kernel(f"mine{n}", 10.0**n, f"family{n}") for n in range(6)]
    for n in range(6):
        measure(store, kernel(f"k{n}", 10.0**n, f"family{n}"), 4)
    assert len(taken(own, store, *mine)) == 3


def test_kernels_of_old_files_have_no_relatives(store: RecordStore, own: RecordStore) -> None:
    measure(store, kernel("old", 1e6, ""), 5)
    assert taken(own, store, kernel("mine", 1e6, "")) == {}


def test_what_was_taken_is_part_of_the_run(store: RecordStore, own: RecordStore) -> None:
    measure(store, kernel("a", 1e6), 5)
    before = begin_with(own, MINE, store, [kernel("a", 1e6)], ENVIRONMENT)
    store.append(
        store.begin(RUN), kernel("a", 1e6), ENVIRONMENT, [make_outcome(n) for n in range(5, 9)]
    )
    measure(own, kernel("a", 1e6), 20)  # by the run itself
    for later in (store, None):
        assert begin_with(own, MINE, later, [kernel("a", 1e6)], ENVIRONMENT) == before
    [_, stored] = sorted(own.runs(), key=lambda run: run.info.recipe == BEGAN_WITH)
    assert stored.info.model == MINE.model  # a folder has one model


def test_nothing_is_known_of_an_empty_store_ever_after(
    store: RecordStore, own: RecordStore
) -> None:
    assert taken(own, store, kernel("a", 1e6)) == {}
    measure(store, kernel("a", 1e6), 5)
    assert taken(own, store, kernel("a", 1e6)) == {}


def test_a_run_that_has_measured_goes_on_as_it_began(store: RecordStore, own: RecordStore) -> None:
    measure(store, kernel("a", 1e6), 5)
    own.append(own.begin(MINE), kernel("a", 1e6), ENVIRONMENT, [make_outcome(1)])
    assert taken(own, store, kernel("a", 1e6)) == {}


def test_a_run_that_was_begun_only_takes_what_there_is(
    store: RecordStore, own: RecordStore
) -> None:
    measure(store, kernel("a", 1e6), 5)
    own.begin(MINE)
    assert taken(own, store, kernel("a", 1e6)) == {"a some cpu": 5}


def test_an_old_file_knows_no_spaces_but_its_records_count(tmp_path: Path) -> None:
    import shutil

    assets = Path(__file__).parent / "assets"
    place = shutil.copy(assets / "v1.db", tmp_path / "records.db")
    with RecordStore.open(place) as store, RecordStore.open("sqlite://") as own:
        [workload, _], [environment, _] = store.workloads(), store.environments()
        [past] = begin_with(own, MINE, store, [replace(workload, family="x")], environment)
        everything = store.lookup(workload, environment)
        assert len(past.outcomes) == len(everything) > 5
