"""The prior of the cost model: models of many layers, available before the first measurement.

A tile that is good for one convolution is good for the next, also on another machine of the same
kind. The shipped models learned from the layers of `benchmarks/prior.py`, which belong to no
particular network.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from chameleon_tuner.search.cost.base import TargetOptions, Targets, targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Ensemble, Float32, fit
from chameleon_tuner.search.cost.building import building_targets
from chameleon_tuner.search.history import History
from chameleon_tuner.space.task import NARROW, WIDE

Family: TypeAlias = tuple[str, ...]
"""The names of the features of a design space; layers of the same kind have the same names."""

SHIPPED = {bits: f"prior-{bits}.npz" for bits in (NARROW, WIDE)}
"""The files of the shipped models, by the width of vectors in bits. A tile that fills 32 registers
of 512 bits does not fit in 16 registers of 256 bits. On five layers of a CPU with AVX2, the final
kernels are 20% faster with the models for 256 bits (docs/log.md)."""

_SPEED = BoostingOptions(rounds=40)
_BUILDING = BoostingOptions(members=1, share=1.0, rounds=40)


@dataclass(frozen=True)
class Known:
    """The models of one family.

    Attributes:
        speed: The model of the scores, -log(seconds / best).
        building: The model of the logarithm of the build seconds.
    """

    speed: Ensemble
    building: Ensemble


def learn(histories: Iterable[History], seed: int = 0) -> dict[Family, Known]:
    """Fit the models of every family that occurs in the histories.

    The mean weight of a record is the same in every history of a family. The models of a family do
    not depend on the other families.
    """
    families: dict[Family, list[History]] = {}
    for history in histories:
        families.setdefault(history.space.feature_names, []).append(history)
    return {
        names: _known(mine, np.random.default_rng([seed, zlib.crc32("\n".join(names).encode())]))
        for names, mine in families.items()
    }


def write(path: Path, prior: Mapping[Family, Known]) -> None:
    """Write models to a file as arrays; nothing in the file is code."""
    arrays: dict[str, Any] = {}
    for number, (names, known) in enumerate(prior.items()):
        arrays[f"names{number}"] = np.array(names)
        for kind, ensemble in (("speed", known.speed), ("building", known.building)):
            arrays[f"{kind}{number}"] = np.frombuffer(ensemble.to_bytes(), dtype=np.uint8)
            arrays[f"{kind}{number}.shape"] = np.array([ensemble.members, ensemble.mean])
    np.savez_compressed(path, **arrays)


def read(path: Path, family: Family) -> Known | None:
    """Return the models of a family, or None if the file has none; the inverse of `write`.

    XGBoost is loaded only if the file has models of the family.
    """
    with np.load(path, allow_pickle=False) as held:
        names = [name for name in held if name.startswith("names")]
        mine = [name for name in names if tuple(map(str, held[name])) == family]
        if not mine:
            return None
        number = mine[0].removeprefix("names")
        return Known(*(_ensemble(held, f"{kind}{number}") for kind in ("speed", "building")))


@functools.cache
def shipped(family: Family, vector_bits: int) -> Known | None:
    """Return the shipped models of a family, or None, for the vector width nearest to a given one.

    Args:
        family: The names of the features of a design space.
        vector_bits: The width of the target's vectors in bits.
    """
    nearest = min(SHIPPED, key=lambda bits: abs(bits - vector_bits))
    with resources.as_file(resources.files(__package__) / SHIPPED[nearest]) as path:
        return read(path, family)


def revision() -> int:
    """Return a checksum of the shipped models, on which the proposals of a search depend."""
    folder = resources.files(__package__)
    return zlib.crc32(b"".join((folder / name).read_bytes() for name in SHIPPED.values()))


def _ensemble(held: Mapping[str, Any], name: str) -> Ensemble:
    members, mean = held[f"{name}.shape"]
    return Ensemble.from_bytes(held[name].tobytes(), int(members), float(mean))


def _known(histories: list[History], rng: np.random.Generator) -> Known:
    speed = [(h.space.encode(h.ran), targets(h, TargetOptions())) for h in histories]
    building = [known for h in histories if (known := building_targets(h)) is not None]
    return Known(fit(*_joined(speed), _SPEED, rng), fit(*_joined(building), _BUILDING, rng))


def _joined(parts: list[tuple[Float32, Targets]]) -> tuple[Float32, Targets]:
    return np.concatenate([features for features, _ in parts]), Targets(
        np.concatenate([goal.scores for _, goal in parts]),
        np.concatenate([goal.weights for _, goal in parts]),
    )
