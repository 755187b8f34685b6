"""Whatever the moment at which a process dies, whole batches stay."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome

BATCH = 50

APPEND_FOREVER = f"""
import itertools, sys
from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome
with RecordStore.open(sys.argv[1]) as store:
    run = store.begin(RUN)
    done = len(store.lookup(WORKLOAD, ENVIRONMENT))
    for start in itertools.count(done, {BATCH}):
        batch = [make_outcome(number) for number in range(start, start + {BATCH})]
        store.append(run, WORKLOAD, ENVIRONMENT, batch)
        print(start + {BATCH}, flush=True)
"""


@contextmanager
def appending(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", APPEND_FOREVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_kill_loses_at_most_the_batch_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    for delay_secs in (0.0, 0.011, 0.037):
        with appending(path) as process:
            assert process.stdout is not None
            acknowledged = [process.stdout.readline()]
            time.sleep(delay_secs)
            process.kill()
            acknowledged += process.stdout.readlines()
        with RecordStore.open(path) as store:
            stored = store.outcomes(WORKLOAD, ENVIRONMENT)
        assert stored == [make_outcome(number) for number in range(len(stored))]
        assert len(stored) - int(acknowledged[-1]) in (0, BATCH)
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_a_run_owns_its_file_while_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with RecordStore.open(path) as store:
        with appending(path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(RecordsError, match="in use by another run"):
                store.begin(RUN)
            assert store.outcomes(WORKLOAD, ENVIRONMENT)
        store.begin(RUN)
        link = tmp_path / "link.db"
        link.symlink_to(path)
        with RecordStore.open(link) as other, pytest.raises(RecordsError, match="another run"):
            other.begin(RUN)
