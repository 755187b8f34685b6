from __future__ import annotations

from dataclasses import replace

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.records import Memory
from chameleon_tuner.testing.made import make_outcome

PROPOSED = Configuration(0, (9, 9))


def test_an_outcome_is_known_by_what_was_proposed_and_by_what_ran() -> None:
    outcome = make_outcome(1, proposed=PROPOSED)
    memory = Memory([outcome])
    assert memory.recall(PROPOSED) == outcome
    assert memory.recall(outcome.configuration) == replace(outcome, proposed=outcome.configuration)
    assert memory.recall(Configuration(0, (8, 8))) is None
    assert memory.recall_module("module-1") == outcome


def test_what_was_proposed_goes_before_what_ran() -> None:
    there, here = make_outcome(1, configuration=PROPOSED), make_outcome(2, proposed=PROPOSED)
    assert Memory([there, here]).recall(PROPOSED) == here


def test_the_first_answer_stays() -> None:
    first, second = make_outcome(1), make_outcome(1, samples=(7.0,))
    memory = Memory([first])
    memory.remember([second, make_outcome(2)])
    assert memory.recall(first.proposed) == first
    assert memory.recall_module("module-1") == first
    assert len(memory) == 2


def test_what_was_never_built_is_no_module() -> None:
    refused = make_outcome(1, structural_hash="", status=Status.REJECTED)
    memory = Memory([refused, replace(refused, configuration=PROPOSED)])
    assert memory.recall_module("") is None
    assert len(memory) == 2
