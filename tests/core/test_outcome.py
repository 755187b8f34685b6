from __future__ import annotations

import math

import pytest

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status

HERE, ASKED = Configuration(0, (2, 1)), Configuration(0, (2, 3))


@pytest.mark.parametrize("status", Status)
def test_only_what_ran_has_seconds(status: Status) -> None:
    outcome = Outcome(HERE, ASKED, "hash", status, (3.0, 1.0, 2.0))
    ran = status in (Status.OK, Status.CENSORED)
    assert outcome.seconds == (2.0 if ran else math.inf)


def test_without_samples_it_is_infinitely_slow() -> None:
    assert Outcome(HERE, ASKED, "hash", Status.OK).seconds == math.inf


def test_the_identity_is_the_module_or_what_was_refused() -> None:
    assert Outcome(HERE, ASKED, "hash", Status.OK).identity == "hash"
    refused = Outcome(ASKED, ASKED, "", Status.REJECTED)
    assert refused.identity == 'configuration:{"sketch": 0, "indices": [2, 3]}'


def test_a_status_is_its_name() -> None:
    assert Status("out_of_memory") is Status.OUT_OF_MEMORY
    assert Status.OK == "ok"
