"""After the search: winners named, libraries built and compared, everything summed up."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chameleon_tuner.errors import LibraryError
from chameleon_tuner.history import History
from chameleon_tuner.machine import cpu_name
from chameleon_tuner.measure.local import LocalMeasurer
from chameleon_tuner.measure.lock import MachineLock
from chameleon_tuner.measure.outcome import Failed, Status
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.measure.timing import TimingPolicy
from chameleon_tuner.measure.worker import Request
from chameleon_tuner.records import Environment
from chameleon_tuner.result import Result, TaskResult
from chameleon_tuner.space import Choice, Configuration, DesignSpace, Tile
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Final, Finalist, Task, by_kernel
from chameleon_tuner.winners import (
    TOLERANCE,
    JudgedKernel,
    Verdict,
    decide,
    finalists_of,
    reserves_of,
)

if TYPE_CHECKING:
    from chameleon_tuner.tvm.compare import Comparison
    from chameleon_tuner.tvm.prepare import Network

_ROUNDS, _ROUND_SECS = 5, 0.02

MEASURING = "4"
"""Of how candidates are lowered and timed: records of another number are not comparable."""

_COMPARE_TIMEOUT_SECS = 900.0
_PACKAGES = ("chameleon-tuner", "apache-tvm", "apache-tvm-ffi", "torch", "xgboost-cpu", "numpy")


def record_environment(network: Network, policy: TimingPolicy) -> Environment:
    """Where the timings of a run are comparable."""
    versions = {name: metadata.version(name) for name in ("apache-tvm", "apache-tvm-ffi")}
    versions["measuring"] = MEASURING
    versions["apart_bytes"] = str(policy.apart_bytes)
    return Environment(_target_text(network), cpu_name(), network.threads, versions)


def _target_text(network: Network) -> str:
    return json.dumps(dict(network.tasks[0].target) if network.tasks else {}, sort_keys=True)


def judge(
    measurer: LocalMeasurer, kernels: Mapping[str, Sequence[Task]], histories: Mapping[str, History]
) -> Iterator[tuple[str, Verdict]]:
    """Compare the fastest candidates of every kernel with the untuned one; see `decide`.

    Args:
        measurer: of this machine.
        kernels: tasks that compute the same, the kernel's own first, by its key.
        histories: by key of the task.

    Yields:
        The kernel's key and its verdict, as they come.
    """
    # Finals that take equally long share the cores better: the heavy ones first.
    by_size = sorted(kernels.items(), key=lambda kernel: -kernel[1][0].flops)
    finals = {key: Final(mine[0], finalists_of(mine, histories)) for key, mine in by_size}
    lost: dict[str, Verdict] = {}
    reserves: list[tuple[str, Final]] = []
    for (key, final), found in zip(finals.items(), _judged(measurer, finals.values()), strict=True):
        verdict, again = _verdict(final, found), list[Finalist]()
        if verdict.winner is None:
            again = reserves_of(kernels[key], histories, final.finalists, verdict.untuned_secs)
            if isinstance(found, Failed) and len(final.finalists) > 1:
                again = [*final.finalists, *again]  # any of them may have been the cause
        if again:
            lost[key] = verdict
            reserves += [(key, Final(final.task, [one])) for one in again]  # each on its own
        else:
            yield key, verdict
    judged = _judged(measurer, [final for _, final in reserves])
    for (key, final), found in zip(reserves, judged, strict=True):
        lost[key] = _verdict(final, found).after(lost[key])
    yield from lost.items()


def _judged(measurer: LocalMeasurer, finals: Iterable[Final]) -> Iterator[Any]:
    return measurer.judge(list(finals), _ROUNDS, _ROUND_SECS, TOLERANCE)


def _verdict(final: Final, found: Sequence[JudgedKernel] | Failed) -> Verdict:
    if isinstance(found, Failed):
        reason = f"the final comparison failed ({found.status.value}): {found}"
        return Verdict(None, math.inf, math.inf, (reason,))
    return decide(final.finalists, found)


@dataclass(frozen=True)
class Deployed:
    """What is in the folder, and what it is worth.

    Attributes:
        verdicts: by key of the kernel's task.
        comparison: of the tuned model with the others.
        verified: whether its outputs agree with all others'.
    """

    verdicts: Mapping[str, Verdict]
    comparison: Comparison
    verified: bool


def deploy(
    network: Network,
    verdicts: Mapping[str, Verdict],
    folder: Path,
    pool: WorkerPool,
    clock: Stopwatch,
) -> Deployed:
    """Build the tuned library and compare it with the untuned one, and with onnxruntime.

    A tuned model that computes something else, or is not faster as a whole, is not deployed:
    the folder then holds what TVM makes of the model without tuning, and the result says so. One
    that seems not faster is timed once more: what else the machine did may have made it seem so.
    """
    from chameleon_tuner.tvm.build import build_libraries, drop_untuned, keep_untuned

    winners = {
        key: (verdict.winner, verdict.best_secs)
        for key, verdict in verdicts.items()
        if verdict.winner is not None
    }
    with clock.timing("build"):
        build_libraries(network, winners, folder)
    with clock.timing("run"):
        comparison = _compare(network, folder, pool)
        if not _faster(comparison):
            comparison = _compare(network, folder, pool)
        reason = _why_not(comparison, [winner for winner, _ in winners.values()])
        if reason:
            keep_untuned(folder)
            comparison = _compare(network, folder, pool)
            verdicts = {key: verdict.dropped(reason) for key, verdict in verdicts.items()}
    drop_untuned(folder)
    return Deployed(verdicts, comparison, not _wrong(comparison))


def _why_not(comparison: Comparison, winners: Sequence[Finalist]) -> str:
    """Why a tuned model is not deployed; empty if it is."""
    if _wrong(comparison):
        advice = "; tune with --no-winograd" if any(w.task.computes for w in winners) else ""
        return f"the outputs of the whole tuned model differ{advice}"
    if not _faster(comparison):
        return "the whole tuned model is not faster"
    return ""


def _faster(comparison: Comparison) -> bool:
    return comparison.latency_secs["tuned"] < comparison.latency_secs["untuned"]


def _wrong(comparison: Comparison) -> bool:
    return not all(error <= TOLERANCE for error in comparison.errors.values())


def _compare(network: Network, folder: Path, pool: WorkerPool) -> Comparison:
    """The deployed library beside the untuned one; see `ModelWorker.compare`."""
    from chameleon_tuner.tvm.build import UNTUNED
    from chameleon_tuner.tvm.deploy import LIBRARY

    onnx = network.program.onnx_path
    arguments = (
        str(folder / LIBRARY),
        str(folder / UNTUNED),
        str(onnx) if onnx else None,
        network.threads,
    )
    # A worker keeps every library that it loaded, also a refused one of the same name, and
    # whatever candidates did to its memory.
    pool.renew()
    request = Request("compare", arguments, _COMPARE_TIMEOUT_SECS)
    with MachineLock().running():
        try:
            comparison: Comparison = pool.call(pool.workers[0], request)
        except Failed as failure:
            raise LibraryError(f"the tuned library does not run: {failure}") from None
    return comparison


def summarize(
    network: Network,
    histories: Mapping[str, History],
    deployed: Deployed,
    folder: Path,
    recipe: str,
    seed: int,
    clock: Stopwatch,
) -> Result:
    """All numbers of a run."""
    from chameleon_tuner.tvm.tasks import kernel_names

    tuned = any(verdict.winner for verdict in deployed.verdicts.values())
    names = kernel_names(network.lowered) if tuned else {}  # otherwise TVM named the kernels
    tasks = [
        _task_result(mine, histories, deployed.verdicts[key], names.get(key, []))
        for key, mine in by_kernel(network.tasks).items()
    ]
    latency = {k: v * 1e3 for k, v in deployed.comparison.latency_secs.items()}
    return Result(
        model=network.program.name,
        target=dict(network.tasks[0].target) if network.tasks else {},
        recipe=recipe,
        seed=seed,
        threads=network.threads,
        versions=versions(),
        trials=_trials(histories),
        seconds={key: round(value, 3) for key, value in clock.seconds().items()},
        latency_ms=latency,
        verified=deployed.verified,
        errors=dict(deployed.comparison.errors),
        tasks=tasks,
        folder=folder,
    )


def versions() -> dict[str, str]:
    """Of what decides over the results, by package."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _trials(histories: Mapping[str, History]) -> dict[str, Any]:
    counts = Counter(o.status for history in histories.values() for o in history.outcomes)
    failed = {s.value: n for s, n in counts.items() if s not in (Status.OK, Status.CENSORED)}
    return {
        "attempted": sum(counts.values()),
        "measured": counts[Status.OK],
        "censored": counts[Status.CENSORED],
        "failed": failed,
    }


def _task_result(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    verdict: Verdict,
    kernels: Sequence[str],
) -> TaskResult:
    task, winner = tasks[0], verdict.winner
    return TaskResult(
        name=task.name,
        weight=task.weight,
        flops=task.flops,
        untuned_us=verdict.untuned_secs * 1e6,
        best_us=verdict.best_secs * 1e6,
        trials=sum(len(histories[other.key]) for other in tasks),
        configuration=winner.configuration.to_json() if winner else None,
        decisions=readable(winner.task.space, winner.configuration) if winner else None,
        refused=verdict.refused,
        kernels=kernels,
        algorithm=winner.task.algorithm if winner else task.algorithm,
    )


def readable(space: DesignSpace, configuration: Configuration) -> list[Any]:
    """The decisions of a configuration: factors of tiles, values of choices and locations."""
    knobs = space.sketches[configuration.sketch].knobs
    decisions: list[Any] = []
    for knob, index in zip(knobs, configuration.indices, strict=True):
        if isinstance(knob, Tile):
            decisions.append(list(knob.value_at(index)))
        else:
            value = knob.values[index]
            decisions.append(int(value) if isinstance(knob, Choice) else value)
    return decisions
