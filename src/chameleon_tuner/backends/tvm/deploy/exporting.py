"""A tuned model without Python: its code, its weights in a plain format, and TVM's runtime."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.deploy.library import check_cpu
from chameleon_tuner.backends.tvm.deploy.manifest import Manifest, weights_path
from chameleon_tuner.backends.tvm.deploy.runtime import (
    ALIGNMENT,
    LIBRARIES,
    OnCpu,
    load_tensors,
    numpy_dtype,
    package_folder,
)
from chameleon_tuner.backends.tvm.features import cpu_flag
from chameleon_tuner.backends.tvm.frontend.tensors import TensorSpec
from chameleon_tuner.core.errors import LibraryError, OutputError
from chameleon_tuner.system.files import LIBRARY, write_whole

LIB, WEIGHTS, DESCRIPTION, HEADER = "lib", "model.weights", "model.json", "model.h"
"""Files and folders of an exported model."""

FORMAT = 1
"""Version of the format of `model.json` and `model.weights`."""

_SOURCES = Path(__file__).parent / "cpp"

_CODES = {"i": "kDLInt", "u": "kDLUInt", "f": "kDLFloat", "b": "kDLBool", "bfloat": "kDLBfloat"}
"""DLPack's names of kinds of numbers, by those of NumPy."""


def export_model(folder: Path, out: Path, *, cpp: bool) -> int:
    """Write a tuned model as files that run without Python.

    `out` gets `lib/` with the code and TVM's runtime, `model.weights` with the weights one after
    the other, each at a multiple of 64 bytes, and `model.json` with the names, dtypes, shapes and
    offsets of everything. For C++ it also gets the headers, an example and its `CMakeLists.txt`.

    Args:
        folder: Folder from `chameleon tune`.
        out: Folder for the model: a new or an empty one.
        cpp: Whether to write what a C++ program needs.

    Returns:
        The size of all files but the weights, in bytes.

    Raises:
        LibraryError: There is no tuned model, it is damaged, or it needs more than compiled code.
        OutputError: The folder is not empty, or cannot be written.
    """
    manifest = Manifest.read(folder)
    _require_exportable(folder, manifest)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} is not empty; give --out a new folder")
    tensors = manifest.ordered(load_tensors(weights_path(folder / LIBRARY)))
    try:
        (out / LIB).mkdir(parents=True)
        shutil.copy(folder / LIBRARY, out / LIB / LIBRARY)
        for library in _runtime():
            shutil.copy(library, out / LIB / library.name)
        weights = list(_write_weights(out / WEIGHTS, tensors))
        about = _description(manifest, weights)
        write_whole(out / DESCRIPTION, json.dumps(about, indent=1) + "\n")
        if cpp:
            _write_cpp(out, about)
    except ImportError as error:
        raise LibraryError(str(error)) from None
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror}") from None
    return sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and p.name != WEIGHTS)


def _require_exportable(folder: Path, manifest: Manifest) -> None:
    """Check a folder, and that compiled code is all that its model needs."""
    check_cpu(manifest)
    manifest.require_versions(folder)
    manifest.verify(folder / LIBRARY)
    if not manifest.compiled:
        why = "onnxruntime runs the model, because nothing faster was found; deploy the ONNX file"
    elif manifest.parts:
        operators = ", ".join(sorted({o for part in manifest.parts for o in part.operators}))
        why = f"onnxruntime runs a part of the model ({operators}); use chameleon_tuner.Session"
    elif len(manifest.variants) > 1:
        why = "it holds several shapes; tune the model for one of them in a folder of its own"
    elif any(spec.static is None for spec in manifest.outputs):
        why = "the shape of an output depends on the data; use chameleon_tuner.Session"
    elif str(manifest.target.get("kind")) != "llvm":
        why = "only libraries for CPUs can be exported"
    else:
        return
    raise LibraryError(f"{folder} cannot be exported: {why}")


def _runtime() -> Iterator[Path]:
    """Yield the shared libraries of TVM's runtime."""
    for package, names in (("tvm", LIBRARIES), ("tvm_ffi", ("libtvm_ffi.so",))):
        for name in names:
            yield package_folder(package) / "lib" / name


def _write_weights(path: Path, tensors: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Write weights one after the other, and yield what they are and where."""
    cpu = OnCpu()
    with path.open("wb") as file:
        for number, tensor in enumerate(tensors):
            array = cpu.returned(tensor)
            file.write(bytes(-file.tell() % ALIGNMENT))
            yield {
                "name": f"weight{number}",
                "dtype": str(tensor.dtype),
                "shape": list(array.shape),
                "offset": file.tell(),
            }
            file.write(array.tobytes())


def _description(manifest: Manifest, weights: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def told(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
        return [{"name": s.name, "dtype": s.dtype, "shape": list(s.static or ())} for s in specs]

    return {
        "format": FORMAT,
        "model": manifest.model,
        "threads": manifest.threads,
        "required_features": list(manifest.required_features),
        "inputs": told(manifest.inputs),
        "outputs": told(manifest.outputs),
        "weights": list(weights),
    }


# -- C++


def _write_cpp(out: Path, about: Mapping[str, Any]) -> None:
    include = package_folder("tvm_ffi") / "include"
    for name in ("tvm", "dlpack"):
        shutil.copytree(include / name, out / "include" / name)
    for source in sorted(_SOURCES.iterdir()):
        place = out / "include" if source.suffix == ".h" else out
        shutil.copy(source, place / source.name)
    write_whole(out / "include" / HEADER, "\n".join(_header(about)) + "\n")


def _header(about: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a C++ header that describes a model."""
    flags = ", ".join(json.dumps(cpu_flag(name)) for name in about["required_features"])
    yield "// The model of this folder, for chameleon.h; `model.json` says the same."
    yield from ("", "#ifndef MODEL_H_", "#define MODEL_H_", "", '#include "chameleon.h"', "")
    yield from ("namespace chameleon {", "")
    yield "inline const Description kModel{"
    for kind in ("inputs", "outputs", "weights"):
        yield "    {"
        yield from (f"        {_spec(found)}," for found in about[kind])
        yield "    },"
    yield f"    {{{flags}}},"
    yield from ("};", "", "}  // namespace chameleon", "", "#endif  // MODEL_H_")


def _spec(found: Mapping[str, Any]) -> str:
    dtype = numpy_dtype(found["dtype"])
    kind = "bfloat" if found["dtype"] == "bfloat16" else dtype.kind
    shape = ", ".join(map(str, found["shape"]))
    place = f", {found['offset']}" if "offset" in found else ""
    name = json.dumps(found["name"])
    return f"{{{name}, {{{_CODES[kind]}, {8 * dtype.itemsize}, 1}}, {{{shape}}}{place}}}"
