"""How a deployed library is used, in words and as a script."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from chameleon_tuner.backends.tvm.deploy.manifest import Manifest


def usage(manifest: Manifest, folder: Path) -> Iterator[str]:
    """Yield lines of Markdown that say how a tuned library is used.

    Args:
        manifest: The manifest of the library.
        folder: The folder that holds it.

    Yields:
        The commands, and a script with nothing but the TVM runtime.
    """
    place = shlex.quote(str(folder))
    yield from ("With the command line:", "")
    yield from ("```", f"chameleon run {place} --bench")
    yield from (f"chameleon run {place} --inputs x.npz --outputs y.npz", "```", "")
    if not manifest.compiled:
        yield f"With onnxruntime, which runs `{manifest.original}` as fast as this folder does."
        return
    if manifest.parts or len(manifest.variants) > 1:
        why = "parts of the model run in onnxruntime" if manifest.parts else "all of its shapes"
        yield f"With Python ({why}):"
        yield from ("", "```python", *_loading(manifest, folder), "```")
        return
    yield from ("With nothing but the TVM runtime, in this folder:", "")
    yield from ("```python", *_script(manifest), "```")


def _script(manifest: Manifest) -> Iterator[str]:
    """Yield a script that loads the library from the current folder and runs it on zeros."""
    several = len(manifest.inputs) > 1
    named = [(f"x{n}" if several else "x", spec) for n, spec in enumerate(manifest.inputs)]
    kind = str(manifest.target.get("kind", "llvm")).replace("llvm", "cpu")
    weight = 'weights[f"weight{n}"]' + ("" if kind == "cpu" else ".copyto(device)")
    tensors = [f"tvm.runtime.tensor({variable}, device)" for variable, _ in named]
    yield from ("import numpy as np", "import tvm", "from tvm import relax", "")
    yield f"device = tvm.{kind}()"
    yield 'machine = relax.VirtualMachine(tvm.runtime.load_module("model.so"), device)'
    yield 'weights = tvm.runtime.load_param_dict_from_file("model.params")'
    yield f"weights = [{weight} for n in range(len(weights))]"
    yield ""
    for variable, spec in named:
        yield f'{variable} = np.zeros({tuple(spec.shape)}, "{spec.dtype}")  # {spec.name!r}'
    yield f'outputs = machine["main"]({", ".join(tensors)}, *weights)'
    yield "print(outputs)"


def _loading(manifest: Manifest, folder: Path) -> Iterator[str]:
    """Yield a script that runs the library as a session on zeros."""
    yield from ("import numpy as np", "from chameleon_tuner import Session", "")
    yield f"session = Session({str(folder)!r})"
    yield "inputs = {"
    for spec in manifest.inputs:
        yield f'    {spec.name!r}: np.zeros({tuple(spec.shape)}, "{spec.dtype}"),'
    yield "}"
    yield "outputs = session.run(None, inputs)"
    yield "print(outputs)"
