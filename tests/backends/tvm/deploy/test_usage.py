"""What the report says of using a tuned library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.deploy.manifest import Manifest
from chameleon_tuner.backends.tvm.deploy.usage import usage
from chameleon_tuner.backends.tvm.frontend.tensors import TensorSpec

INPUTS = TensorSpec("a b", (1, 4), "float32"), TensorSpec("mask\n", (), "int64")
MANIFEST = Manifest("net", "digest", {"kind": "llvm"}, (), 2, INPUTS, ())


def script_of(manifest: Manifest) -> str:
    text = "\n".join(usage(manifest, Path("a folder")))
    assert "chameleon run 'a folder' --bench" in text
    return text.split("```python\n")[1].split("```")[0]


def test_the_script_is_python_whatever_the_inputs_are_called() -> None:
    script = script_of(MANIFEST)
    compile(script, "script", "exec")
    assert 'x0 = np.zeros((1, 4), "float32")' in script
    assert "tvm.runtime.tensor(x0, device), tvm.runtime.tensor(x1, device), *weights" in script


def test_the_script_for_a_gpu() -> None:
    script = script_of(replace(MANIFEST, target={"kind": "cuda"}))
    assert "device = tvm.cuda()" in script
    assert ".copyto(device)" in script


def test_several_shapes_are_run_by_a_session() -> None:
    script = script_of(replace(MANIFEST, variants=("model.so", "model-1.so")))
    compile(script, "script", "exec")
    assert "session = Session('a folder')" in script
    assert """    'a b': np.zeros((1, 4), "float32"),""" in script
    assert "model.params" not in script
