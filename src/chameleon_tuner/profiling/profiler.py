"""Profile a tuned folder."""

from __future__ import annotations

import json
import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chameleon_tuner.machine import cpu_name, thread_environment, usable_cores
from chameleon_tuner.measure.lock import MachineLock
from chameleon_tuner.profiling.limits import measure_limits
from chameleon_tuner.profiling.results import ISOLATED_ROUNDS, KernelProfile, Profile
from chameleon_tuner.result import SUMMARY

if TYPE_CHECKING:
    from chameleon_tuner.tvm.profile import Call

_CALL_SECS = 0.2


def profile(folder: Path, rounds: int, seed: int) -> Profile:
    """Time every kernel of a tuned network, in the network and by itself.

    Args:
        folder: from `chameleon tune`.
        rounds: that medians are over.
        seed: of the random inputs.

    Raises:
        LibraryError: the folder holds no tuned library that runs here.
    """
    from chameleon_tuner.tvm.deploy import Library
    from chameleon_tuner.tvm.profile import Recorded

    flops = _flops(folder)
    os.environ.update(thread_environment(usable_cores()))  # before TVM's threads start
    library = Library(folder)
    library.require_cpu()
    inputs = library.random_inputs(seed)
    recorded = Recorded(library, inputs)
    with MachineLock().running():
        latencies = []
        for _ in range(rounds):  # in turns, so that a drift of the machine is in both
            latencies.append(library.time(inputs, _CALL_SECS))
            recorded.round(_CALL_SECS)
        for _ in range(ISOLATED_ROUNDS):
            recorded.isolated_round()
        limits = measure_limits(library.manifest.threads)
    return Profile(
        model=library.manifest.model,
        machine=cpu_name(),
        threads=library.manifest.threads,
        latency_us=1e6 * statistics.median(latencies),
        kernels=_kernels(recorded.calls, flops),
        limits=limits,
        rounds=rounds,
    )


def _kernels(calls: list[Call], flops: dict[str, float]) -> list[KernelProfile]:
    by_name: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_name[call.name].append(call)
    kernels = [
        KernelProfile(
            name,
            len(mine),
            1e6 * sum(statistics.median(call.network_secs) for call in mine),
            1e6 * sum(statistics.median(call.isolated_secs) for call in mine),
            len(mine) * flops.get(name, 0.0),
            sum(call.bytes for call in mine),
        )
        for name, mine in by_name.items()
    ]
    return sorted(kernels, key=lambda kernel: -kernel.network_us)


def _flops(folder: Path) -> dict[str, float]:
    """Operations of a call, by the kernel's name; none where the summary does not tell."""
    try:
        summary: Any = json.loads((folder / SUMMARY).read_text())
        return {
            str(name): float(task["flops"])
            for task in summary["tasks"]
            for name in task["kernels"]
            if task["flops"] is not None
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
