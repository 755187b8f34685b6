"""Makes the files of this folder: a made-up blur kernel in the FAIR formats.

The times follow a formula, so that everything about them is known; no other tuner's file is copied.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PARAMETERS: dict[str, list[Any]] = {
    "block_x": [16, 32, 64, 128],
    "block_y": [1, 2, 4, 8],
    "tile": [1, 2, 3, 4],
    "shared": [0, 1],
}
VALUES = {"block_x": "[2**i for i in range(4, 8)]", "block_y": "[1, 2] + [4, 8]"}
CONDITIONS = ["block_x * block_y <= 256", "shared == 0 or tile < 4"]


def legal(x: int, y: int, tile: int, shared: int) -> bool:
    return x * y <= 256 and (shared == 0 or tile < 4)


def milliseconds(x: int, y: int, tile: int, shared: int) -> float:
    away = abs(math.log2(x / 64)) + abs(math.log2(y / 2)) + abs(tile - 3) + (1 - shared)
    return 0.5 * (1 + 0.2 * away) + 0.001 * tile


def rows() -> list[tuple[dict[str, int], str, float]]:
    """The values, the invalidity and the milliseconds of every legal configuration."""
    found = []
    for values in itertools.product(*PARAMETERS.values()):
        if legal(*values):
            failed = {(128, 2, 3): "compile", (128, 1, 4): "runtime"}.get(values[:3], "correct")
            found.append(
                (dict(zip(PARAMETERS, values, strict=True)), failed, milliseconds(*values))
            )
    return found


def t1() -> dict[str, Any]:
    return {
        "General": {"BenchmarkName": "blur"},
        "ConfigurationSpace": {
            "TuningParameters": [
                {"Name": name, "Type": "int", "Values": VALUES.get(name, str(values))}
                for name, values in PARAMETERS.items()
            ],
            "Conditions": [
                {"Expression": text, "Parameters": [n for n in PARAMETERS if n in text]}
                for text in CONDITIONS
            ],
        },
        "KernelSpecification": {"Language": "CUDA", "KernelName": "blur"},
    }


def t4() -> dict[str, Any]:
    results = []
    for values, failed, ms in rows():
        ran = failed == "correct"
        results.append(
            {
                "timestamp": "2026-01-01 00:00:00",
                "configuration": values,
                "times": {
                    "compilation": 300.0,
                    "framework": 5.0,
                    "search_algorithm": 0,
                    "validation": 0,
                    "runtimes": [ms, ms] if ran else [],
                },
                "invalidity": failed,
                "correctness": int(ran),
                "measurements": [{"name": "time", "value": ms, "unit": ""}] if ran else [],
                "objectives": ["time"],
            }
        )
    return {"schema_version": "1.0.0", "metadata": {"timeunit": "miliseconds"}, "results": results}


def cache() -> dict[str, Any]:
    errors = {"compile": "CompilationFailedConfig", "runtime": "RuntimeFailedConfig"}
    entries = {
        ",".join(map(str, values.values())): {
            **values,
            "time": errors.get(failed, ms),
            "times": [ms, ms],
            "compile_time": 300.0,
            "verification_time": 0,
            "benchmark_time": 2 * ms,
            "framework_time": 5.0,
        }
        for values, failed, ms in rows()
    }
    return {
        "device_name": "A made-up GPU",
        "kernel_name": "blur",
        "problem_size": [1024, 1024],
        "tune_params_keys": list(PARAMETERS),
        "tune_params": PARAMETERS,
        "objective": "time",
        "cache": entries,
    }


def main() -> None:
    (HERE / "blur_T1.json").write_text(json.dumps(t1(), indent=1))
    (HERE / "blur_T4.json.gz").write_bytes(gzip.compress(json.dumps(t4()).encode(), mtime=0))
    # As a running tuner leaves it: without the closing braces.
    text = json.dumps(cache(), indent=0)
    (HERE / "blur_cache.json").write_text(text.rstrip().removesuffix("}").rstrip()[:-1] + ",\n")


if __name__ == "__main__":
    main()
