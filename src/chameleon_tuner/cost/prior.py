"""What is known before the first measurement: models of many layers, of no network in particular.

A tile that is good for one convolution is good for the next, on another machine of the same kind,
too. The shipped models learned from the layers of `benchmarks/prior.py`.
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

from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, Float32, fit
from chameleon_tuner.cost.building import building_targets
from chameleon_tuner.cost.target import TargetOptions, Targets, targets
from chameleon_tuner.history import History
from chameleon_tuner.task import NARROW, WIDE

Family: TypeAlias = tuple[str, ...]
"""The names of the features of a design space; layers of one kind have the same."""

SHIPPED = {bits: f"prior-{bits}.npz" for bits in (NARROW, WIDE)}
"""By the bits of vectors: what fills 32 registers of 512 bits does not fit in 16 of 256. On five
layers of a CPU with AVX2 the search ends 20% faster with the latter's own (docs/evaluation.md)."""

_SPEED = BoostingOptions(rounds=40)
_BUILDING = BoostingOptions(members=1, share=1.0, rounds=40)


@dataclass(frozen=True)
class Known:
    """Of one family.

    Attributes:
        speed: predicts scores, -log(seconds / best).
        building: predicts the logarithm of the seconds that building takes.
    """

    speed: Ensemble
    building: Ensemble


def learn(histories: Iterable[History], seed: int = 0) -> dict[Family, Known]:
    """Models of every family that histories have; each history of a family counts alike.

    A family's do not depend on which others there are.
    """
    families: dict[Family, list[History]] = {}
    for history in histories:
        families.setdefault(history.space.feature_names, []).append(history)
    return {
        names: _known(mine, np.random.default_rng([seed, zlib.crc32("\n".join(names).encode())]))
        for names, mine in families.items()
    }


def write(path: Path, prior: Mapping[Family, Known]) -> None:
    """Write models as arrays: nothing in the file is code."""
    arrays: dict[str, Any] = {}
    for number, (names, known) in enumerate(prior.items()):
        arrays[f"names{number}"] = np.array(names)
        for kind, ensemble in (("speed", known.speed), ("building", known.building)):
            arrays[f"{kind}{number}"] = np.frombuffer(ensemble.to_bytes(), dtype=np.uint8)
            arrays[f"{kind}{number}.shape"] = np.array([ensemble.members, ensemble.mean])
    np.savez_compressed(path, **arrays)


def read(path: Path, family: Family) -> Known | None:
    """The models of a family, or None; inverse of `write`. Loads XGBoost where there are some."""
    with np.load(path, allow_pickle=False) as held:
        names = [name for name in held if name.startswith("names")]
        mine = [name for name in names if tuple(map(str, held[name])) == family]
        if not mine:
            return None
        number = mine[0].removeprefix("names")
        return Known(*(_ensemble(held, f"{kind}{number}") for kind in ("speed", "building")))


@functools.cache
def shipped(family: Family, vector_bits: int) -> Known | None:
    """What came with the package about a family, on CPUs with vectors of about so many bits."""
    nearest = min(SHIPPED, key=lambda bits: abs(bits - vector_bits))
    with resources.as_file(resources.files(__package__) / SHIPPED[nearest]) as path:
        return read(path, family)


def revision() -> int:
    """Changes when the shipped models do, and with them what a search proposes."""
    folder = resources.files(__package__)
    return zlib.crc32(b"".join((folder / name).read_bytes() for name in SHIPPED.values()))


def _ensemble(held: Mapping[str, Any], name: str) -> Ensemble:
    members, mean = held[f"{name}.shape"]
    return Ensemble.from_bytes(held[name].tobytes(), int(members), float(mean))


def _known(histories: list[History], rng: np.random.Generator) -> Known:
    speed = [(h.space.encode(h.rows), targets(h, TargetOptions())) for h in histories]
    building = [known for h in histories if (known := building_targets(h)) is not None]
    return Known(fit(*_joined(speed), _SPEED, rng), fit(*_joined(building), _BUILDING, rng))


def _joined(parts: list[tuple[Float32, Targets]]) -> tuple[Float32, Targets]:
    return np.concatenate([features for features, _ in parts]), Targets(
        np.concatenate([goal.scores for _, goal in parts]),
        np.concatenate([goal.weights for _, goal in parts]),
    )
