"""Networks through `torch.compile(backend="chameleon")`, and then in another process.

The cache of a network is a temporary folder. Its first process tunes, and compares the outputs with
those of PyTorch. The second one has to find what was tuned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

TWENTY = (
    *("resnet50", "mobilenet_v3_large", "efficientnet_b0", "densenet121", "squeezenet1_1"),
    *("shufflenet_v2_x1_0", "regnet_y_3_2gf", "convnext_tiny", "swin_t", "vit_b_16"),
    *("deit_small_distilled_patch16_224", "mobilevit_s", "mixer_s32_224", "bert_medium"),
    *("distilbert", "distilgpt2", "electra_small", "whisper_tiny_encoder", "segformer_b1"),
    *("deeplabv3_mobilenet_v3_large",),
)
"""Networks of torchvision, timm and transformers, of every family."""


def compile_all(names: Sequence[str], trials: int) -> int:
    """Print a line for every network; return whether one is wrong or failed.

    Args:
        names: Names of networks.
        trials: Trials of every graph.
    """
    print(
        "| network | error | eager / compiled | wall of the first process | from import to the "
        "first output in the second | stays in PyTorch |\n|---|---|---|---|---|---|"
    )
    failed = False
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            first, second = (_process(name, trials, cache) for _ in range(2))
        failed |= "failed" in first or first.get("error", 1) > 1e-3
        failed |= second.get("tuned") != 0 or second.get("found") != first.get("tuned")
        print(_row(name, first, second), flush=True)
    return int(failed)


def _row(name: str, first: dict[str, Any], second: dict[str, Any]) -> str:
    for found in (first, second):
        if "failed" in found:
            return f"| {name} | failed: {found['failed']} |"
    return (
        f"| {name} | {first['error']:.1e} | {first['eager_ms']:.1f} / {first['compiled_ms']:.1f} ms"
        f" | {first['wall_secs']:.0f} s | {second['first_secs']:.1f} s, {second['found']} of"
        f" {first['tuned']} found"
        f" | {'; '.join(first['warnings']) or '-'} |"
    )


def _process(name: str, trials: int, cache: str) -> dict[str, Any]:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, name, str(trials)],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    found: dict[str, Any] = json.loads(lines[-1])
    return {**found, "wall_secs": time.perf_counter() - begin}


def main(name: str, trials: int) -> None:
    """Compile a network in this process, and print what came of it."""
    begin = time.perf_counter()
    import torch

    imported = time.perf_counter()
    from operators import load_torchvision

    load_torchvision()
    import exporting
    from torch_export import enliven

    build = exporting.networks()[name].build
    if build is None:
        sys.exit(f"{name} is no module of PyTorch")
    torch.manual_seed(0)
    made = build()
    module = made.module.eval()
    enliven(module, made.inputs)
    built = time.perf_counter()

    import logging
    import warnings

    begun: list[str] = []
    logger = logging.getLogger("chameleon_tuner.torch")
    logger.setLevel(logging.INFO)
    logger.addFilter(lambda record: begun.append(record.getMessage()) or True)
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        compiled = torch.compile(module, backend="chameleon", options={"trials": trials})
        found = _tensors(compiled(**made.inputs))
        first = time.perf_counter()
        expected = _tensors(module(**made.inputs))
        error = max(_error(f, e) for f, e in zip(found, expected, strict=True))
        eager_ms, compiled_ms = (_median_ms(f, made.inputs) for f in (module, compiled))
    said = [str(w.message) for w in caught if "Eager" in w.category.__name__]
    print(
        json.dumps(
            {
                "error": error,
                "eager_ms": eager_ms,
                "compiled_ms": compiled_ms,
                "first_secs": imported - begin + first - built,  # but the time to make the module
                "tuned": sum(message.startswith("tuning") for message in begun),
                "found": sum(message.startswith("found") for message in begun),
                "warnings": said,
            }
        )
    )


def _tensors(returned: Any) -> list[Any]:
    import torch
    from torch.utils import _pytree as pytree

    return [x for x in pytree.tree_leaves(returned) if isinstance(x, torch.Tensor)]


def _error(found: Any, expected: Any) -> float:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    largest = expected.double().abs().max().clamp(min=1e-30)
    return float((found.double() - expected.double()).abs().max() / largest)


def _median_ms(function: Any, inputs: Any, calls: int = 7) -> float:
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        function(**inputs)
        times.append(time.perf_counter() - begin)
    return 1e3 * sorted(times)[calls // 2]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
