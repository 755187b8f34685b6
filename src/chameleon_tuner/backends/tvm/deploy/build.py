"""The libraries of a tuned network, on disk."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.s_tir import meta_schedule

from chameleon_tuner.backends.tvm.deploy.manifest import (
    ORIGINAL,
    ORIGINAL_FILE,
    RUNTIME,
    Manifest,
    library_of,
    manifest_path,
    weights_path,
)
from chameleon_tuner.backends.tvm.deploy.parts import PARTS, PartSpec
from chameleon_tuner.backends.tvm.frontend.cutting import Part
from chameleon_tuner.backends.tvm.frontend.onnx import CALLED
from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile
from chameleon_tuner.backends.tvm.lower.code import Compiled
from chameleon_tuner.backends.tvm.lower.graph import (
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
from chameleon_tuner.backends.tvm.targets import as_json, required_features
from chameleon_tuner.core.errors import LibraryError, OutputError, last_line
from chameleon_tuner.ports.backend import Winner
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.system.files import LIBRARY, write_whole
from chameleon_tuner.system.machine import versions

WORKLOADS, RECORDS = "database_workload.json", "database_tuning_record.json"
"""Files of MetaSchedule's JSON database."""

UNTUNED = "untuned.so"
"""The untuned library, which is in the folder until the tuned one was compared with it: of a model
that onnxruntime does not run."""

_SPLIT = "_prepacked"
"""Suffix that `SplitLayoutRewritePreproc` gives a kernel whose weights are laid out anew."""


def build_libraries(
    networks: Sequence[Network], winners: Mapping[str, Winner], folder: Path
) -> None:
    """Write the tuned libraries with their parts, what they have to beat, and the database.

    They have to beat the user's ONNX file in onnxruntime; of other models, the untuned library.

    Args:
        networks: What was tuned, one for every variant of shapes.
        winners: What is deployed, by key of the kernel.
        folder: An existing folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    # Two compilations at once: TVM and LLVM release Python's lock, and a target that is entered
    # is so for its thread alone.
    try:
        with ThreadPoolExecutor(max_workers=1) as executor:
            reference = executor.submit(_write_reference, networks[0], folder)
            _write_parts(networks, folder)
            finished = [_finished(network, winners) for network in networks]
            manifests = _manifests(networks, finished)
            export(finished, manifests, folder)
            reference.result()
        if networks[0].program.onnx is None:
            manifest_of(networks[0]).write(folder, UNTUNED)
    except BaseException:
        drop_rivals(folder)
        raise
    for number, manifest in reversed(list(enumerate(manifests))):
        manifest.write(folder, library_of(number))
    spaces = {key: space for network in networks for key, space in network.spaces.items()}
    export_database(folder, spaces, list(winners.values()))


def _finished(network: Network, winners: Mapping[str, Winner]) -> Compiled:
    chosen = {key: winner.finalist for key, winner in winners.items()}
    scheduled = apply_winners(network.lowered, network.alternatives, network.spaces, chosen)
    return finish(scheduled, network.target)


def _manifests(networks: Sequence[Network], finished: Sequence[Compiled]) -> list[Manifest]:
    """Return manifests in which equal weights have the same name."""
    names: dict[bytes, str] = {}
    files = tuple(library_of(number) for number in range(len(networks)))
    made = []
    for network, compiled in zip(networks, finished, strict=True):
        manifest = manifest_of(network)
        # There is nothing to share in a single variant: hashing would take a second per gigabyte.
        keys = map(_content, compiled.weights) if len(networks) > 1 else _numbers()
        mine = tuple(
            names.setdefault(key, f"weight{len(names)}")
            for key, _ in zip(keys, compiled.weights, strict=False)
        )
        made.append(replace(manifest, weights=mine, variants=files))
    return made


def manifest_of(network: Network) -> Manifest:
    """Return the manifest of a network's library, without the names of its weights."""
    program = network.program
    return Manifest(
        program.name,
        program.digest,
        as_json(network.target),
        tuple(sorted(required_features(network.target))),
        network.threads,
        program.inputs,
        program.outputs,
        original=ORIGINAL_FILE if program.open else "",
        parts=tuple(map(spec_of, program.parts.values())),
        ranges=program.ranges,
        versions=versions(RUNTIME),
    )


def spec_of(part: Part) -> PartSpec:
    """Return how a library refers to a part."""
    static = all(found.static for _, found in part.outputs)
    return PartSpec(f"{CALLED}{part.name}", f"{PARTS}/{part.name}.onnx", part.operators, static)


def _numbers() -> Iterator[bytes]:
    return (str(number).encode() for number in itertools.count())


def _content(tensor: Any) -> bytes:
    """Return what is the same for equal tensors."""
    array = tensor.numpy()
    about = f"{array.dtype} {array.shape}".encode()
    return about + hashlib.sha256(array.tobytes()).digest()


def _write_reference(network: Network, folder: Path) -> None:
    program = network.program
    if program.onnx is None:
        export_one(untuned(program.module, network.target), folder / UNTUNED)
    else:
        write_original(program.onnx, folder)


def write_original(file: OnnxFile, folder: Path) -> None:
    """Copy a user's ONNX file, with its external data, to where onnxruntime finds it.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        shutil.rmtree(folder / ORIGINAL, ignore_errors=True)
        for location, source in file.external.items():
            place = folder / ORIGINAL / location
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
        (folder / ORIGINAL).mkdir(exist_ok=True)
        write_whole(folder / ORIGINAL_FILE, file.load().SerializeToString())
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from None


def _write_parts(networks: Sequence[Network], folder: Path) -> None:
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    try:
        for network in networks:
            for part in network.program.parts.values():
                (folder / PARTS).mkdir(exist_ok=True)
                write_whole(folder / spec_of(part).file, part.model.SerializeToString())
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from None


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
    manifest = Manifest.read(folder, UNTUNED)
    manifest_path(folder / LIBRARY).unlink(missing_ok=True)
    _copy(weights_path(folder / UNTUNED), weights_path(folder / LIBRARY))
    _copy(folder / UNTUNED, folder / LIBRARY)
    manifest.write(folder)
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)


def keep_original(folder: Path, variant: int) -> None:
    """Let onnxruntime run the user's ONNX file in place of a tuned library.

    Args:
        folder: The folder, with the file in it.
        variant: Number of the variant of shapes.
    """
    file = library_of(variant)
    manifest = Manifest.read(folder, file)
    manifest_path(folder / file).unlink(missing_ok=True)
    if variant == 0:
        for name in (WORKLOADS, RECORDS):
            (folder / name).unlink(missing_ok=True)
    replace(manifest, compiled=False, original=ORIGINAL_FILE, parts=()).write(folder, file)
    (folder / file).unlink(missing_ok=True)


def drop_rivals(folder: Path) -> None:
    """Remove what the deployed libraries were compared with, and files that nothing needs now."""
    untuned = folder / UNTUNED
    for path in (manifest_path(untuned), untuned, weights_path(untuned)):
        path.unlink(missing_ok=True)
    try:
        first = Manifest.read(folder)
        manifests = [first, *(Manifest.read(folder, file) for file in first.variants[1:])]
    except LibraryError:
        manifests = []
    if not any(manifest.original for manifest in manifests):
        shutil.rmtree(folder / ORIGINAL, ignore_errors=True)
    if not any(manifest.compiled for manifest in manifests):
        weights_path(folder / LIBRARY).unlink(missing_ok=True)
        shutil.rmtree(folder / PARTS, ignore_errors=True)


def _copy(source: Path, path: Path) -> None:
    """Replace a file by a copy of another, without overwriting it.

    A process that has the old file mapped would die of SIGSEGV, at its next look-up of a symbol, if
    the file were overwritten.
    """
    part = path.with_suffix(".part")
    shutil.copy(source, part)
    part.replace(path)


def export_one(compiled: Compiled, library: Path) -> None:
    """Write a library of its own and its weights, and remove its manifest, see `export`."""
    named = {f"weight{number}": tensor for number, tensor in enumerate(compiled.weights)}
    with _told(library):
        _export_code(compiled, library)
        _export_weights(named, weights_path(library))


def export(finished: Sequence[Compiled], manifests: Sequence[Manifest], folder: Path) -> None:
    """Write libraries and their weights, and remove their manifests: they are not of these files.

    A reader never sees half of a file, and nobody loads a library without a manifest.

    Args:
        finished: The code of every variant.
        manifests: The manifests of every variant, which name its weights.
        folder: An existing folder.

    Raises:
        OutputError: They cannot be written, or there is no linker.
    """
    named: dict[str, Any] = {}
    with _told(folder / LIBRARY):
        for number, (compiled, manifest) in enumerate(zip(finished, manifests, strict=True)):
            _export_code(compiled, folder / library_of(number))
            named |= zip(manifest.weights or (), compiled.weights, strict=True)
        _export_weights(named, weights_path(folder / LIBRARY))


@contextlib.contextmanager
def _told(library: Path) -> Iterator[None]:
    """Turn what goes wrong while files are written into an error for people."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        for part in library.parent.glob("*.part*"):
            part.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {library} ({last_line(error)}); it needs disk space and a C++ linker "
            "(g++ or clang++)"
        ) from None


def _export_code(compiled: Compiled, library: Path) -> None:
    part = library.with_suffix(".part.so")
    compiled.export(part)
    manifest_path(library).unlink(missing_ok=True)  # it is written again after the last file
    part.replace(library)


def _export_weights(named: Mapping[str, Any], path: Path) -> None:
    part = path.with_suffix(".part")
    tvm.runtime.save_param_dict_to_file(dict(named), str(part))
    part.replace(path)
