from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chameleon_tuner.app import contest
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import HasModels

# Tests and workers import odd_models by the same name.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def odd_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool[HasModels]]:
    """Workers of `odd_models`, which need neither a rest before a turn nor the machine."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(contest, "_PAUSE_SECS", 0.0)
    monkeypatch.setattr(contest, "MachineLock", lambda: MachineLock(tmp_path / "lock"))
    with WorkerPool(HandlerEntry[HasModels]("odd_models", "OddModels"), 1, {}) as pool:
        yield pool
