"""How long a run takes around its search on this machine: documented defaults, then measured."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chameleon_tuner.system.files import user_cache, write_whole
from chameleon_tuner.system.machine import cpu_name, usable_cores

START_SECS, START_SECS_A_KERNEL = 2.0, 0.2
"""Default seconds before the search: loading TVM, importing the model, making design spaces.
Measured with ResNet-18 and its 20 kernels on two cores of a Zen 3."""

FINISH_SECS, FINISH_SECS_A_KERNEL = 15.0, 0.4
"""Default seconds after the search: the last batch, the final comparisons, compiling and comparing
the model. Networks of 19 to 136 kernels took 20 to 60 s on two cores of a Zen 1 with a budget of 60
s; longer searches leave more candidates to compare."""

DEPLOY_SECS, DEPLOY_SECS_A_KERNEL = 8.0, 0.3
"""The part of it that is for compiling and comparing the model."""

LEAST_SLOWNESS, MOST_SLOWNESS = 0.75, 2.0
"""Bounds of what the seconds before the search say about those after it. A machine that started
1.4 times as slowly because of busy neighbours finished 1.4 times as slowly; a Zen 5 started in 0.67
of the time and finished in 0.7. Beyond the bounds the cause is a large model, or one that was not
in the file cache."""

LEAST_FACTOR, MOST_FACTOR = 0.5, 2.0
"""Bounds of a measured calibration. What is beyond them is due to the model: a network of few tiny
kernels takes a tenth of the default, and a large one several times as long."""

_KEPT = 5
"""Observations that are kept of a machine; their median counts."""

_FILE = "calibration.json"


def start_secs(kernels: int) -> float:
    """Return the default seconds before the search of a network of so many kernels."""
    return START_SECS + START_SECS_A_KERNEL * kernels


def finish_secs(kernels: int) -> float:
    """Return the default seconds after the search of a network of so many kernels."""
    return FINISH_SECS + FINISH_SECS_A_KERNEL * kernels


def deploy_secs(kernels: int) -> float:
    """Return the default seconds for compiling and comparing a network of so many kernels."""
    return DEPLOY_SECS + DEPLOY_SECS_A_KERNEL * kernels


@dataclass(frozen=True)
class Calibration:
    """How this machine compares with the defaults.

    Attributes:
        start: Seconds before the search, as a multiple of the default.
        finish: Seconds after the search, as a multiple of the default.
    """

    start: float = 1.0
    finish: float = 1.0

    def finish_secs(self, kernels: int, begun_secs: float) -> float:
        """Return the seconds that a run will take after its search.

        Args:
            kernels: Number of distinct kernels of the network.
            begun_secs: Seconds that this run took before its search. It corrects for whatever else
                the machine does at the moment.

        Returns:
            The expected seconds.
        """
        slowness = begun_secs / (self.start * start_secs(kernels))
        bounded = min(max(LEAST_SLOWNESS, slowness), MOST_SLOWNESS)
        return bounded * self.finish * finish_secs(kernels)


def measured(kind: str, folder: Path | None = None) -> Calibration:
    """Return the calibration that earlier runs on this machine have left, or the defaults.

    Args:
        kind: Kind of the target.
        folder: Where it is kept; the user's cache folder by default.
    """
    place = folder or user_cache()
    observations = _read(place).get(_machine(kind), []) if place else []
    if not observations:
        return Calibration()
    starts, finishes = zip(*observations, strict=True)
    return Calibration(_bounded(starts), _bounded(finishes))


def _bounded(observed: Sequence[float]) -> float:
    return min(max(LEAST_FACTOR, statistics.median(observed)), MOST_FACTOR)


def observe(
    kind: str,
    kernels: int,
    begun_secs: float,
    finished_secs: float,
    folder: Path | None = None,
) -> None:
    """Keep what a run on this machine took; nothing happens where that cannot be written.

    Args:
        kind: Kind of the target.
        kernels: Number of distinct kernels of the network.
        begun_secs: Seconds before the search.
        finished_secs: Seconds after the search.
        folder: Where it is kept; the user's cache folder by default.
    """
    place = folder or user_cache()
    if not kernels or place is None:
        return
    kept = _read(place)
    mine = [*kept.get(_machine(kind), [])]
    mine.append((begun_secs / start_secs(kernels), finished_secs / finish_secs(kernels)))
    kept[_machine(kind)] = mine[-_KEPT:]
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / _FILE, json.dumps(kept, indent=1) + "\n")


def _machine(kind: str) -> str:
    return f"{cpu_name()}, {usable_cores()} cores, {kind}"


def _read(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return what is kept, by machine; nothing where the file is missing or damaged."""
    try:
        kept = json.loads((folder / _FILE).read_text())
        return {
            str(machine): [(float(start), float(finish)) for start, finish in observations]
            for machine, observations in kept.items()
            if all(start > 0 and finish > 0 for start, finish in observations)
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
