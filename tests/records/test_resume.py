"""A search that was interrupted is run again from its start, with a memory of the records."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.ports.records import Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, in_world, new_workload

ROUNDS, PLAN = 6, 5
ticks = itertools.count()


class Interrupted(Exception):  # noqa: N818
    pass


@dataclass
class Measurer:
    """No two of its timings are alike; it is interrupted after a number of batches."""

    batches: int = ROUNDS
    asked: list[Configuration] = field(default_factory=list)

    def measure(self, proposed: list[Configuration]) -> list[Outcome]:
        if self.batches == 0:
            raise Interrupted
        self.batches -= 1
        self.asked += proposed
        return [in_world(one, next(ticks)) for one in proposed]


def search(store: RecordStore, workload: Workload, seed: int, measurer: Measurer) -> list[Outcome]:
    """A search whose every step depends on the timings before it; its history."""
    run, memory = store.begin(RUN), store.lookup(workload, ENVIRONMENT)
    history: list[Outcome] = []
    for _ in range(ROUNDS):
        past = [int(outcome.seconds * 1e9) for outcome in history]
        drawn = np.random.default_rng([seed, *past]).integers(0, 5, (PLAN, 2)).tolist()
        batch = list(dict.fromkeys(Configuration(0, tuple(indices)) for indices in drawn))
        unknown = [proposed for proposed in batch if memory.recall(proposed) is None]
        try:
            measured = measurer.measure(unknown)
        except Interrupted:
            break
        memory.remember(store.append(run, workload, ENVIRONMENT, measured))
        history += [outcome for outcome in map(memory.recall, batch) if outcome is not None]
    return history


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), batches=st.integers(0, ROUNDS))
def test_the_same_search_goes_on_and_measures_nothing_twice(seed: int, batches: int) -> None:
    workload, first, second, third = new_workload(), Measurer(batches), Measurer(), Measurer()
    with RecordStore.open("sqlite://") as store:
        begun = search(store, workload, seed, first)
        whole = search(store, workload, seed, second)
        again = search(store, workload, seed, third)
        modules = {outcome.structural_hash for outcome in whole}
        assert len(store.outcomes(workload, ENVIRONMENT)) == len(modules)
    assert whole[: len(begun)] == begun
    assert again == whole
    assert not third.asked
    assert len({*first.asked, *second.asked}) == len(first.asked) + len(second.asked)
