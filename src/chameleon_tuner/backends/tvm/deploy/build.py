"""The libraries of a tuned network, on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.s_tir import meta_schedule

from chameleon_tuner.backends.tvm.deploy.library import Manifest, weights_path
from chameleon_tuner.backends.tvm.lower.graph import (
    Compiled,
    finish,
    is_kernel_call,
    key_of,
    normalized,
    scheduled,
    untuned,
)
from chameleon_tuner.backends.tvm.network import Network
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.rewrites.base import Alternatives, transforms_of
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.core.errors import OutputError
from chameleon_tuner.ports.backend import Winner
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.system.files import LIBRARY

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"
"""Files of MetaSchedule's JSON database."""

UNTUNED = "untuned.so"
"""The untuned library, which is in the folder until the tuned one was compared with it."""

_SPLIT = "_prepacked"
"""Suffix that `SplitLayoutRewritePreproc` gives a kernel whose weights are laid out anew."""


def build_libraries(network: Network, winners: Mapping[str, Winner], folder: Path) -> None:
    """Write the tuned library, its manifest, the untuned library and the winners' database.

    Args:
        network: What was tuned.
        winners: What is deployed, by key of the kernel.
        folder: An existing folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    chosen = {key: winner.finalist for key, winner in winners.items()}
    # Two compilations at once: TVM and LLVM release Python's lock, and a target that is entered
    # is so for its thread alone.
    try:
        with ThreadPoolExecutor(max_workers=1) as executor:
            reference = executor.submit(_export_untuned, network, folder)
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


def _export_untuned(network: Network, folder: Path) -> None:
    export(untuned(network.program.module, network.target), folder / UNTUNED)


def kernel_names(lowered: IRModule) -> dict[str, list[str]]:
    """Return what a tuned library calls the kernels of a lowered module, by key of their task.

    Where a kernel's weight is laid out anew, TVM splits that off and gives the rest another name.
    """
    names: dict[str, list[str]] = {}
    for variable, function in lowered.functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            mine = names.setdefault(key_of(normalized(function)), [])
            name = str(variable.name_hint)
            for form in (name, *(_other(name, algorithm) for algorithm in registered())):
                mine += [form, f"{form}{_SPLIT}"]
    return names


def _other(name: str, algorithm: str) -> str:
    """Return the name of a kernel in a library that is computed by another algorithm."""
    return f"{name}_{algorithm}"


# -- schedules and algorithms into a module


def apply_winners(
    lowered: IRModule,
    alternatives: Alternatives,
    spaces: Mapping[str, TracedSpace],
    winners: Mapping[str, Finalist],
) -> IRModule:
    """Put the winning schedules into a lowered module.

    Args:
        lowered: The module; none of its kernels is scheduled.
        alternatives: Other functions for its kernels.
        spaces: The spaces of all tasks, by key.
        winners: Winners by key of the kernel; kernels without one stay unscheduled.

    Returns:
        The module with scheduled kernels, and with calls of alternatives that won.
    """
    updated, replaced = {}, {}
    for variable, function in lowered.functions.items():
        updated[variable] = function
        if not isinstance(function, tvm.tirx.PrimFunc):
            continue
        winner = winners.get(key_of(normalized(function)))
        if winner is None:
            continue
        key, name = winner.task.key, str(variable.name_hint)
        if not winner.task.computes:
            updated[variable] = scheduled(function, spaces[key], winner.configuration)
            continue
        others = (other.function for other in alternatives[winner.task.kernel])
        function = next(other for other in others if key_of(normalized(other)) == key)
        other = _other(name, winner.task.algorithm.split()[0])
        replaced[name] = other, scheduled(function, spaces[key], winner.configuration)
    return _replace_calls(IRModule(updated, attrs=lowered.attrs), replaced)


def _replace_calls(lowered: IRModule, chosen: Mapping[str, tuple[str, Any]]) -> IRModule:
    """Let `main` call other functions, with transformed weights.

    Args:
        lowered: The module.
        chosen: Names and scheduled functions of alternatives, by name of the replaced kernel.
    """
    if not chosen:
        return lowered
    replacer = _Replacer(lowered, chosen)
    main = replacer.visit_expr(lowered["main"])
    module = replacer.builder_.get()
    functions = {
        variable: main if variable.name_hint == "main" else function
        for variable, function in module.functions.items()
        if variable.name_hint not in chosen
    }
    return IRModule(functions, attrs=lowered.attrs)


@mutator
class _Replacer(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Calls scheduled alternatives in place of the kernels that they stand for."""

    def __init__(self, module: IRModule, chosen: Mapping[str, tuple[str, Any]]) -> None:
        super().__init__(module)
        self._chosen = chosen
        self._added: dict[str, Any] = {}

    def visit_call_(self, call: Any) -> Any:
        """Return the call of the alternative with transformed weights, or the call as it was."""
        call = super().visit_call_(call)
        name = str(call.args[0].name_hint) if is_kernel_call(call) else ""
        if name not in self._chosen:
            return call
        other, function = self._chosen[name]
        if name not in self._added:
            self._added[name] = self.builder_.add_func(function, other)
        arguments = list(call.args[1].fields)
        for number, transform in transforms_of(function).items():
            arguments[number] = relax.const(transform(arguments[number].value.numpy()))
        return relax.call_tir(self._added[name], arguments, call.ty_args[0])


# -- files


def export_database(
    folder: Path, spaces: Mapping[str, TracedSpace], winners: Sequence[Winner]
) -> None:
    """Write the winners into a folder as MetaSchedule's JSON database, from scratch.

    Args:
        folder: Receives `database_workload.json` and `database_tuning_record.json`.
        spaces: The spaces of the network's tasks, by key.
        winners: What is deployed. The workload of another algorithm is one of its own.
    """
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)
    database = meta_schedule.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    for winner in winners:
        space = spaces[winner.finalist.task.key]
        database.commit_tuning_record(
            meta_schedule.database.TuningRecord(
                space.replay(winner.finalist.configuration).schedule.trace,
                database.commit_workload(space.module),
                [winner.secs],
                space.target,
                meta_schedule.arg_info.ArgInfo.from_entry_func(space.module),
            )
        )


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
    """Replace a file by a copy of another, without overwriting it.

    A process that has the old file mapped would die of SIGSEGV, at its next look-up of a symbol, if
    the file were overwritten.
    """
    part = path.with_suffix(".part")
    shutil.copy(source, part)
    part.replace(path)


def export(compiled: Compiled, path: Path) -> None:
    """Write a library and its weights; a reader never sees half of one.

    Raises:
        OutputError: They cannot be written, or there is no linker.
    """
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
