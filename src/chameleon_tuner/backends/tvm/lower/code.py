"""Machine code of a model: in this process, or as a library that all cores compile."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any

import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax import transform, vm_build
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.kernel import lean_lowering
from chameleon_tuner.backends.tvm.lower.threads import compile_threads, renamer, take_over
from chameleon_tuner.backends.tvm.targets import adding_freely, is_gpu
from chameleon_tuner.system.files import ScratchFolder
from chameleon_tuner.system.machine import usable_cores


@dataclass(frozen=True)
class Compiled:
    """A model that is compiled when its code is needed.

    Attributes:
        module: The lowered module; its `main` takes the model's inputs, then the weights.
        weights: The weights, in the order of the parameters.
        target: The target.
        lean: Whether kernels are compiled as candidates are; see `lean_lowering`.
    """

    module: IRModule = field(repr=False)
    weights: Sequence[Any] = field(repr=False)
    target: Target
    lean: bool = True

    @cached_property
    def executable(self) -> relax.VMExecutable:
        """The code in this process."""
        with self._compiled_for, self._lowering():
            return relax.build(self.module, target=self._compiled_for, relax_pipeline=_finalize())

    def export(self, library: Path) -> None:
        """Write the code as a shared library.

        LLVM compiles a module with a single core, and takes half a second for a tuned kernel: 63
        kernels of an EfficientNet-B0 took 38 s. In as many modules as there are cores it took half
        of that on two (measured on a Zen 1). The library has threads of its own where the system
        has a tool to rename symbols; otherwise, and untuned, it runs on those of TVM's runtime.

        Args:
            library: Path of the library.

        Raises:
            RuntimeError: There is no linker.
            OSError: The file cannot be written.
        """
        if is_gpu(self.target):
            self.executable.export_library(str(library))
            return
        with self._compiled_for, self._lowering():
            module, builder = _finalize()(self.module), relax.ExecBuilder()
            left = vm_build._vmcodegen(builder, module, "bytecode")
        kernels = [(v, f) for v, f in left.functions.items() if isinstance(f, tvm.tirx.PrimFunc)]
        cores = usable_cores()
        modules = [IRModule(dict(kernels[core::cores])) for core in range(min(cores, len(kernels)))]
        scratch = ScratchFolder()
        tool = renamer() if self.lean else None
        own = [scratch.path / "threads.o"] if tool else []
        with ThreadPoolExecutor(max_workers=cores) as executor:  # LLVM releases Python's lock
            waiting = [executor.submit(compile_threads, path, self._threads) for path in own]
            compile_ = partial(self._object, scratch.path, tool)
            objects = list(executor.map(compile_, count(), modules))
            for compiling in waiting:
                compiling.result()
        linked = vm_build._vmlink(builder, self.target, None, ext_libs=objects)
        linked.export_library(str(library), addons=[str(path) for path in own])

    @property
    def _compiled_for(self) -> Target:
        return adding_freely(self.target) if self.lean else self.target

    @property
    def _threads(self) -> int:
        return int(self.target.attrs.get("num-cores", usable_cores()))

    def _object(self, folder: Path, tool: str | None, number: int, kernels: IRModule) -> Any:
        """Compile some kernels to an object file, which runs on our own threads with a tool."""
        names = [str(function.attrs["global_symbol"]) for function in kernels.functions.values()]
        path = folder / f"{number}.o"
        with self._compiled_for, self._lowering():
            tvm.tirx.build(kernels, target=self._compiled_for).write_to_file(str(path), "o")
        if tool:
            take_over(path, tool)
        return tvm.runtime.load_static_library(str(path), names)

    def _lowering(self) -> Any:
        if self.lean:
            return lean_lowering(self.target, opt_level=3)
        return tvm.transform.PassContext(opt_level=3)


def _finalize() -> tvm.transform.Pass:
    """Return the passes that prepare a lowered module for the VM, with static memory planning."""
    return tvm.transform.Sequential(
        [
            transform.RewriteDataflowReshape(),
            transform.ToNonDataflow(),
            transform.RemovePurityChecking(),
            transform.CallTIRRewrite(),
            transform.StaticPlanBlockMemory(),
            transform.LowerAllocTensor(),
            transform.KillAfterLastUse(),
            transform.LowerRuntimeBuiltin(),
            transform.ComputePrimValue(),
            transform.VMShapeLower(),
            transform.AttachGlobalSymbol(),
        ]
    )
