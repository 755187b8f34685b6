"""A network behind `ports.backend.Project`: its environment, and its winners as a library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tvm.target import Target

from chameleon_tuner.backends.tvm.deploy.build import UNTUNED as UNTUNED_FILE
from chameleon_tuner.backends.tvm.deploy.build import (
    build_libraries,
    drop_rivals,
    keep_original,
    keep_untuned,
    kernel_names,
    spec_of,
)
from chameleon_tuner.backends.tvm.deploy.manifest import (
    ORIGINAL_FILE,
    Manifest,
    library_of,
)
from chameleon_tuner.backends.tvm.deploy.usage import usage
from chameleon_tuner.backends.tvm.frontend.program import from_onnx
from chameleon_tuner.backends.tvm.frontend.tensors import trial_inputs
from chameleon_tuner.backends.tvm.lower.kernel import device_of
from chameleon_tuner.backends.tvm.mending import Mending
from chameleon_tuner.backends.tvm.network import Network, prepare
from chameleon_tuner.backends.tvm.targets import as_json, is_gpu
from chameleon_tuner.core.shapes import told_shapes
from chameleon_tuner.ports.backend import Rehearsal, Winner
from chameleon_tuner.ports.handler import ONNXRUNTIME, TUNED, UNTUNED, OpenModel
from chameleon_tuner.ports.records import Environment
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import cpu_name

MEASURING = "5"
"""Version of how candidates are lowered and timed; other versions are not comparable."""

_SEED = 7
"""Seed of the inputs on which whole models are compared."""

_PACKAGES = ("apache-tvm", "apache-tvm-ffi")
"""Packages that change the generated code."""


class TVMProject:
    """A model of the TVM backend; implements `ports.backend.Project`.

    Args:
        networks: The model for every variant of its shapes.
        inputs: Inputs on which whole models are compared, by name; others are random. They are for
            the first variant.
        without: Names of algorithms that were left out.
        mended: Whether what TVM computes wrongly was looked for.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        inputs: Mapping[str, Any] | None = None,
        without: Collection[str] = (),
        *,
        mended: bool = False,
    ) -> None:
        self._networks, self._inputs, self._without = networks, inputs or {}, without
        self._mended = mended
        self._tasks = _together([network.tasks for network in networks])

    @property
    def tasks(self) -> Sequence[Task]:
        """See `Project.tasks`."""
        return self._tasks

    @property
    def target(self) -> Mapping[str, Any]:
        """See `Project.target`."""
        return as_json(self._first.target)

    @property
    def threads(self) -> int:
        """See `Project.threads`."""
        return self._first.threads

    @property
    def absent(self) -> Mapping[str, str]:
        """See `Project.absent`."""
        refusal = self._first.program.refusal
        return {ONNXRUNTIME: refusal} if refusal else {}

    @property
    def apart_bytes(self) -> int:
        """See `Project.apart_bytes`."""
        return max(network.apart_bytes for network in self._networks)

    @property
    def environment(self) -> Environment:
        """See `Project.environment`."""
        versions = {name: metadata.version(name) for name in _PACKAGES}
        versions["measuring"] = MEASURING
        versions["apart_bytes"] = str(self.apart_bytes)
        # Without tasks there is nothing to record; the text is that of earlier versions.
        target = json.dumps(dict(self.target) if self.tasks else {}, sort_keys=True)
        return Environment(target, device_name(self._first.target), self.threads, versions)

    @property
    def variants(self) -> Sequence[str]:
        """See `Project.variants`."""
        return [told_shapes(network.program.shapes) for network in self._networks]

    def parts(self, variant: int) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
        """See `Project.parts`."""
        program = self._networks[variant].program
        outside = program.cut.outside if program.cut else {}
        return {
            spec_of(part).name: (
                part.operators,
                sorted({outside[name] for name in part.nodes if name in outside}),
            )
            for part in program.parts.values()
        }

    def kernel_names(self) -> Mapping[str, Sequence[str]]:
        """See `Project.kernel_names`."""
        found: dict[str, list[str]] = {}
        for network in self._networks:
            for key, names in kernel_names(network.lowered).items():
                mine = found.setdefault(key, [])
                mine += [name for name in names if name not in mine]
        return found

    def build(self, winners: Mapping[str, Winner], folder: Path) -> None:
        """See `Project.build`."""
        build_libraries(self._networks, winners, folder)

    def contestants(self, folder: Path, variant: int) -> Mapping[str, OpenModel]:
        """See `Project.contestants`."""
        program, inputs = self._networks[variant].program, self._trial_inputs(variant)
        rival = (UNTUNED, UNTUNED_FILE) if program.onnx is None else (ONNXRUNTIME, ORIGINAL_FILE)
        return {
            name: OpenModel(name, str(folder / file), self.threads, inputs)
            for name, file in ((TUNED, library_of(variant)), rival)
        }

    def usage(self, folder: Path) -> Sequence[str]:
        """See `Project.usage`."""
        return list(usage(Manifest.read(folder), folder))

    def mending(self, variant: int) -> Mending | None:
        """See `Project.mending`."""
        program = self._networks[variant].program
        if program.onnx is None or program.cut is None or self._mended:
            return None
        inputs, outside = self._trial_inputs(variant), program.cut.outside
        return Mending(program.onnx, program.shapes, outside, inputs)

    def mended(self, mending: Rehearsal) -> TVMProject | None:
        """See `Project.mended`."""
        wrong = mending.wrong if isinstance(mending, Mending) else {}
        if not wrong:
            return None
        networks = [self._without_wrong(network, wrong) for network in self._networks]
        return TVMProject(networks, self._inputs, self._without, mended=True)

    def _without_wrong(self, network: Network, wrong: Mapping[str, str]) -> Network:
        program = network.program
        if program.onnx is None or program.cut is None:
            return network
        again = from_onnx(program.onnx, program.shapes, {**program.cut.outside, **wrong})
        return prepare(again, network.target, network.threads, self._without)

    def keep(self, contestant: str, folder: Path, variant: int) -> None:
        """See `Project.keep`."""
        if contestant == UNTUNED:
            keep_untuned(folder)
        else:
            keep_original(folder, variant)

    def drop_rivals(self, folder: Path) -> None:
        """See `Project.drop_rivals`."""
        drop_rivals(folder)

    @property
    def _first(self) -> Network:
        return self._networks[0]

    def _trial_inputs(self, variant: int) -> Mapping[str, Any]:
        program = self._networks[variant].program
        given = self._inputs if variant == 0 else {}
        return {**trial_inputs(program.inputs, program.ranges, _SEED), **given}


def _together(lists: Sequence[Sequence[Task]]) -> list[Task]:
    """Return the tasks of all variants; a kernel that several have is one task."""
    found: dict[str, Task] = {}
    names: Counter[str] = Counter()
    for tasks in lists:
        for task in tasks:
            known = found.get(task.key)
            if known is not None:
                found[task.key] = replace(known, weight=known.weight + task.weight)
                continue
            names[task.name] += 1
            number = names[task.name]
            name = task.name if number == 1 else f"{task.name}_v{number}"
            found[task.key] = replace(task, name=name)
    kernels = [task for task in found.values() if not task.computes]
    return [*kernels, *(task for task in found.values() if task.computes)]


def device_name(target: Target) -> str:
    """Return the model of the device that kernels for a target run on: this CPU, or the GPU."""
    if not is_gpu(target):
        return cpu_name()
    device = device_of(target)
    name = device.device_name if device.exist else None  # Metal tells none
    return str(name or target.kind.name)
