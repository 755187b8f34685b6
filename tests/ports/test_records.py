from __future__ import annotations

import math
from dataclasses import replace

import pytest

from chameleon_tuner.core.outcome import structural_hash_of
from chameleon_tuner.ports.records import Environment, RunInfo
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, make_outcome


def test_fingerprints_are_the_same_everywhere() -> None:
    # Written down: a change would orphan all that is stored.
    environment = Environment("llvm", "cpu", 4, {"tvm": "0.27.0", "llvm": "18"})
    run = RunInfo("sha256:1", "chameleon", 0, {"trials": 10, "plateau": math.inf})
    assert environment.fingerprint.startswith("2b2d8b9ac70bd82a")
    assert run.fingerprint.startswith("9ebe3211f19500aa")


@pytest.mark.parametrize(
    "changes", [{"target": "cuda"}, {"device": "x"}, {"threads": 3}, {"versions": {"tvm": "1"}}]
)
def test_every_field_of_an_environment_counts(changes: dict[str, object]) -> None:
    other = replace(ENVIRONMENT, **changes)  # type: ignore[arg-type]
    assert other.fingerprint != ENVIRONMENT.fingerprint
    assert len({other, ENVIRONMENT, replace(ENVIRONMENT)}) == 2


@pytest.mark.parametrize(
    "changes", [{"model": "m"}, {"recipe": "random"}, {"seed": 8}, {"settings": {}}]
)
def test_every_field_of_a_run_counts(changes: dict[str, object]) -> None:
    other = replace(RUN, **changes)  # type: ignore[arg-type]
    assert other.fingerprint != RUN.fingerprint
    assert len({other, RUN, replace(RUN)}) == 2


def test_the_order_of_names_does_not_count() -> None:
    versions = dict(reversed(list(ENVIRONMENT.versions.items())))
    assert replace(ENVIRONMENT, versions=versions).fingerprint == ENVIRONMENT.fingerprint


def test_identity_is_the_module_or_else_the_configuration() -> None:
    assert make_outcome(3).identity == "module-3"
    assert structural_hash_of("module-3") == "module-3"
    # Written down, since it is stored.
    unbuilt = make_outcome(3, structural_hash="").identity
    assert unbuilt == 'configuration:{"sketch": 0, "indices": [3, 1]}'
    assert structural_hash_of(unbuilt) == ""
