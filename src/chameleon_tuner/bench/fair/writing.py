"""Recordings and runs as T4 results."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chameleon_tuner.bench.recording import Recording
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.runlog import Trial
from chameleon_tuner.space import DesignSpace, values_at
from chameleon_tuner.system.files import write_whole

VERSION = "1.0.0"
"""The version of the T4 schema that is written."""

_INVALIDITY = {
    Status.OK: "correct",
    Status.CENSORED: "timeout",
    Status.REJECTED: "constraints",
    Status.BUILD_ERROR: "compile",
    Status.RUN_ERROR: "runtime",
    Status.TIMEOUT: "timeout",
    Status.CRASHED: "runtime",
    Status.OUT_OF_MEMORY: "runtime",
}


def recorded_results(recording: Recording) -> dict[str, Any]:
    """Return the T4 document of all measurements of a recording; times are in seconds."""
    trials = (
        Trial(o.configuration, o.status, o.seconds, o.build_secs, o.run_secs)
        for o in recording.outcomes
    )
    return results_of(recording.task.space, trials)


def results_of(space: DesignSpace, trials: Iterable[Trial]) -> dict[str, Any]:
    """Return the T4 document of the trials of a run, in their order; times are in seconds.

    The parameters of a space without names, as those of compilers are, are called knob0, knob1, and
    so on, and have the indices of their values; the sketch is one more of them.
    """
    results = [_result(space, t, t.configuration) for t in trials if t.configuration is not None]
    return {
        "schema_version": VERSION,
        "metadata": {"timeunit": "seconds"},
        "results": results,
    }


def write_t4(path: Path, document: dict[str, Any]) -> None:
    """Write a T4 document atomically, compressed if the name of the file ends in .gz."""
    data = json.dumps(document, indent=1, allow_nan=False).encode()
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        # Without a file name and a time stamp, the bytes depend on the data alone.
        with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as packed:
            packed.write(data)
        data = buffer.getvalue()
    write_whole(path, data)


def _result(space: DesignSpace, trial: Trial, configuration: Configuration) -> dict[str, Any]:
    ran = trial.status is Status.OK
    runs = [trial.own_secs] if math.isfinite(trial.own_secs) else []
    return {
        "configuration": _values(space, configuration),
        "times": {
            "compilation": _finite(trial.build_secs),
            "runtimes": runs,
            "framework": 0.0,
            "search_algorithm": 0.0,
            "validation": max(0.0, _finite(trial.run_secs) - sum(runs)),
        },
        "invalidity": _INVALIDITY[trial.status],
        "correctness": 1 if ran else 0,
        "measurements": [{"name": "time", "value": one, "unit": "seconds"} for one in runs],
        "objectives": ["time"],
    }


def _values(space: DesignSpace, configuration: Configuration) -> dict[str, Any]:
    if space.sketches[configuration.sketch].names:
        return values_at(space, configuration)
    knobs = {f"knob{n}": index for n, index in enumerate(configuration.indices)}
    return {"sketch": configuration.sketch, **knobs}


def _finite(seconds: float) -> float:
    return seconds if math.isfinite(seconds) else 0.0
