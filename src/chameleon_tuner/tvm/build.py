"""The libraries of a tuned network, on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tvm

from chameleon_tuner.errors import OutputError
from chameleon_tuner.task import Finalist
from chameleon_tuner.tvm.apply import apply_winners
from chameleon_tuner.tvm.database import RECORDS, WORKLOADS, export_database
from chameleon_tuner.tvm.deploy import LIBRARY, Manifest, weights_path
from chameleon_tuner.tvm.lower import Compiled, finish, untuned
from chameleon_tuner.tvm.prepare import Network

UNTUNED = "untuned.so"


def build_libraries(
    network: Network, winners: Mapping[str, tuple[Finalist, float]], folder: Path
) -> None:
    """Write the tuned library, its manifest, the untuned library and the winners' database.

    Args:
        network: what was tuned.
        winners: what is deployed and its seconds, by key of the kernel.
        folder: exists.

    Raises:
        OutputError: it cannot be written.
    """
    chosen = {key: winner for key, (winner, _) in winners.items()}
    # Two compilations at once: TVM and LLVM release Python's lock, and a target that is entered
    # is so for its thread alone.
    try:
        with ThreadPoolExecutor(max_workers=1) as executor:
            reference = executor.submit(_untuned, network, folder)
            tuned = finish(
                apply_winners(network.lowered, network.alternatives, network.spaces, chosen),
                network.target,
            )
            export(tuned, folder / LIBRARY)
            reference.result()
    except BaseException:
        drop_untuned(folder)
        raise
    Manifest.of(network.program, network.target, network.threads).write(folder)
    export_database(folder, network.spaces, list(winners.values()))


def _untuned(network: Network, folder: Path) -> None:
    export(untuned(network.program.module, network.target), folder / UNTUNED)


def keep_untuned(folder: Path) -> None:
    """Deploy the untuned library in place of the tuned one, and no schedules.

    A process that has loaded the tuned one goes on with it. TVM never closes a library, and
    glibc knows it by its path: such a process must not load the new one from there.
    """
    _copy(weights_path(folder / UNTUNED), weights_path(folder / LIBRARY))
    _copy(folder / UNTUNED, folder / LIBRARY)
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)


def drop_untuned(folder: Path) -> None:
    """Remove the library that the tuned one was compared with."""
    (folder / UNTUNED).unlink(missing_ok=True)
    weights_path(folder / UNTUNED).unlink(missing_ok=True)


def _copy(source: Path, path: Path) -> None:
    """Put a copy in the place of a file whose old content somebody may have mapped.

    A library that was overwritten under the process that had it ended that in SIGSEGV, at the
    next look-up of a symbol.
    """
    part = path.with_suffix(".part")
    shutil.copy(source, part)
    part.replace(path)


def export(compiled: Compiled, path: Path) -> None:
    """Write a library and its weights; a reader never sees half of one."""
    part, weights = path.with_suffix(".part.so"), path.with_suffix(".part")
    named = {f"weight{number}": tensor for number, tensor in enumerate(compiled.weights)}
    try:
        compiled.executable.export_library(str(part))
        tvm.runtime.save_param_dict_to_file(named, str(weights))
        weights.replace(weights_path(path))
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        reason = str(error).strip().splitlines()[-1][:200]
        raise OutputError(
            f"cannot write {path} ({reason}); it needs disk space and a C++ linker (g++ or clang++)"
        ) from None
