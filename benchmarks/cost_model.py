"""Compares cost models on recorded convolutions: python benchmarks/cost_model.py [--sweep].

For training sizes and random splits of each recording it fits a model and judges it on the rest:

- rank: Spearman's correlation; fast: the same within the fastest third;
- top16: speed of the fastest of the 16 predicted fastest, over that of the fastest there is;
- recall: how many of the 16 fastest are among the 16 predicted fastest;
- honest: rank correlation of |error| with the predicted deviation;
- fit and predict: ms, one thread; a prediction is of 512 rows, already encoded.

LightGBM is compared where it is installed (`pip install lightgbm`).
With --sweep every number of the options is changed by itself.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from threadpoolctl import threadpool_limits

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.base import Prediction, TargetOptions, Targets, targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Float32, fit
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Location, Sketch, Tile

SIZES = (32, 64, 128, 256, 512)
METRICS = ("rank", "fast", "top16", "recall", "honest", "fit ms", "predict ms")

Predict = Callable[[Float32], Prediction]
Learn = Callable[[Float32, Targets, int], Predict]


class Recording(NamedTuple):
    """Random schedules of a 3x3 convolution, 56x56x64 -> 64: rows and their seconds."""

    space: DesignSpace
    rows: IntArray
    seconds: npt.NDArray[np.float64]

    def history(self, index: npt.NDArray[np.int64]) -> History:
        history = History(self.space)
        configurations = self.space.configurations(self.rows[index])
        seconds = self.seconds[index].tolist()
        history.extend(
            [
                Outcome(c, c, str(c), Status.OK, (secs,))
                for c, secs in zip(configurations, seconds, strict=True)
            ]
        )
        return history


def sketch_of(layout: str) -> Sketch:
    spatial, reduction = ((1, 56, 56, 64), (3, 3, 64))
    if layout == "nchw":
        spatial, reduction = ((1, 64, 56, 56), (64, 3, 3))
    tiles = [Tile(extent, 4, 64) for extent in spatial]
    tiles += [Tile(extent, 2, 64, spatial=False) for extent in reduction]
    levels = ((range(4), 0), (range(4), 1), (range(4, 7), 0), (range(4), 2), (range(4, 7), 1))
    loops = tuple((tile, part) for tiles, part in (*levels, (range(4), 3)) for tile in tiles)
    return Sketch((*tiles, Choice((0, 16, 64, 512)), Location(loops, inlinable=True)))


def recorded(layout: str) -> Recording:
    packed = resources.files("chameleon_tuner.testing") / f"conv2d_{layout}.jsonl.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
    records = [json.loads(line) for line in lines]
    sketch = sketch_of(layout)
    rows = [[0, *_indices(sketch, record["decisions"])] for record in records]
    seconds = np.array([record["seconds"] for record in records])
    return Recording(DesignSpace((sketch,)), np.array(rows, dtype=np.int32), seconds)


def _indices(sketch: Sketch, decisions: list[list[int]]) -> list[int]:
    """Indices of a trace's decisions: factors, the number of a value, or TVM's location."""
    indices = []
    for knob, decision in zip(sketch.knobs, decisions, strict=True):
        if isinstance(knob, Tile):
            indices.append(knob.index_of(tuple(decision)))
        else:
            indices.append(decision[0] + 2 * isinstance(knob, Location))
    return indices


# -- the models


def ours(options: BoostingOptions) -> Learn:
    def learn(features: Float32, goal: Targets, seed: int) -> Predict:
        return fit(features, goal, options, np.random.default_rng(seed)).predict

    return learn


def forest(features: Float32, goal: Targets, seed: int) -> Predict:
    model = RandomForestRegressor(100, max_features=0.5, random_state=seed)
    model.fit(features, goal.scores, goal.weights)

    def predict(features: Float32) -> Prediction:
        return _moments([tree.tree_.predict(features)[:, 0] for tree in model.estimators_])

    return predict


def lightgbm(features: Float32, goal: Targets, seed: int) -> Predict:
    """8 bagged models of 30 trees of 15 leaves."""
    import lightgbm as lgb

    rng = np.random.default_rng(seed)
    parameters = {
        "objective": "l2",
        "learning_rate": 0.15,
        "num_leaves": 15,
        "min_data_in_leaf": 2,
        "lambda_l2": 1.0,
        "feature_fraction_bynode": 0.5,
        "max_bin": 63,
        "min_data_in_bin": 1,
        "num_threads": 1,
        "verbosity": -1,
        "force_row_wise": True,
        "deterministic": True,
    }
    models = []
    for _ in range(8):
        part = rng.permutation(len(features))[: max(2, int(0.7 * len(features)))]
        data = lgb.Dataset(
            features[part], goal.scores[part], weight=goal.weights[part], params=parameters
        )
        models.append(lgb.train(parameters, data, 30))
    return lambda features: _moments([m.predict(features, num_threads=1) for m in models])


def _moments(members: list[npt.NDArray[np.floating]] | npt.NDArray[np.floating]) -> Prediction:
    stacked = np.asarray(members, dtype=np.float64)
    return Prediction(stacked.mean(axis=0), stacked.std(axis=0))


def competitors() -> dict[str, Learn]:
    models: dict[str, Learn] = {"ours": ours(BoostingOptions()), "random forest": forest}
    others = {"lightgbm": lightgbm}
    return models | {name: learn for name, learn in others.items() if find_spec(name)}


def variations() -> dict[str, tuple[Learn, TargetOptions]]:
    boosting, target = BoostingOptions(), TargetOptions()
    changes = {
        "members": (4, 16),
        "rounds": (15, 60),
        "shrinkage": (0.1, 0.3),
        "depth": (4, 6),
        "share": (0.6, 0.8),
        "feature_share": (0.3, 1.0),
        "bins": (32, 128),
    }
    found = {"ours": (ours(boosting), target)}
    for field, values in changes.items():
        for value in values:
            changed = replace(boosting, **{field: value})
            found[f"{field} {value}"] = (ours(changed), target)
    for field, values in {"floor": (-3.0, -8.0), "emphasis": (0.0, 0.25, 1.0)}.items():
        for value in values:
            found[f"{field} {value}"] = (ours(boosting), replace(target, **{field: value}))
    return found


# -- judging


def judge(
    recording: Recording, learn: Learn, goal: TargetOptions, size: int, seed: int
) -> list[float]:
    order = np.random.default_rng(seed).permutation(len(recording.rows))
    size = min(size, int(0.8 * len(order)))
    known, rest = order[:size], order[size:]
    features = recording.space.encode(recording.rows)
    history = recording.history(known)
    wanted = targets(history, goal)
    start = time.perf_counter()
    predict = learn(recording.space.encode(history.ran), wanted, seed)
    fit_secs = time.perf_counter() - start
    truth = np.log(recording.seconds[known].min() / recording.seconds[rest])
    quality = qualities(predict(features[rest]), truth)
    batch = np.resize(features, (512, features.shape[1]))
    start = time.perf_counter()
    predict(batch)
    return [*quality, 1e3 * fit_secs, 1e3 * (time.perf_counter() - start)]


def qualities(guess: Prediction, truth: npt.NDArray[np.float64]) -> list[float]:
    chosen, fastest = np.argsort(-guess.mean)[:16], np.argsort(-truth)
    third = fastest[: len(fastest) // 3]
    return [
        spearmanr(guess.mean, truth)[0],
        spearmanr(guess.mean[third], truth[third])[0],
        np.exp(truth[chosen].max() - truth.max()),
        len(np.intersect1d(chosen, fastest[:16])) / 16,
        spearmanr(np.abs(guess.mean - truth), guess.std)[0],
    ]


def compare(models: Mapping[str, tuple[Learn, TargetOptions]], splits: int, by_size: bool) -> None:
    recordings = {layout: recorded(layout) for layout in ("nhwc", "nchw")}
    print(f"{'':30s}" + "".join(f"{metric:>11s}" for metric in METRICS))
    for layout, recording in recordings.items():
        for name, (learn, goal) in models.items():
            runs = np.array(
                [
                    [judge(recording, learn, goal, size, seed) for seed in range(splits)]
                    for size in SIZES
                ]
            ).mean(axis=1)
            table = dict(zip(SIZES, runs, strict=True)) if by_size else {"": runs.mean(axis=0)}
            for size, line in table.items():
                label = f"{layout} {name} {size}"
                print(f"{label:30s}" + "".join(f"{value:11.3f}" for value in line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", action="store_true", help="change our options one by one")
    parser.add_argument("--splits", type=int, default=8, help="random splits of a recording")
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        if arguments.sweep:
            compare(variations(), arguments.splits, by_size=False)
        else:
            models = {name: (learn, TargetOptions()) for name, learn in competitors().items()}
            compare(models, arguments.splits, by_size=True)


if __name__ == "__main__":
    main()
