"""The description of a library in its folder, with checksums of all its files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.deploy.parts import PartSpec
from chameleon_tuner.backends.tvm.frontend.tensors import Range, TensorSpec
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.system.checksums import Checksum
from chameleon_tuner.system.files import LIBRARY, MANIFEST, write_whole
from chameleon_tuner.system.machine import versions

ORIGINAL = "original"
"""Folder of the user's ONNX file, where onnxruntime runs it as it is."""

ORIGINAL_FILE = f"{ORIGINAL}/model.onnx"
"""Path of the user's ONNX file in the folder."""

FORMAT = 2
"""Version of the manifest's format; 1 had no `files`, and its libraries are loaded unverified."""


@dataclass(frozen=True)
class Manifest:
    """The description of a tuned library, which is needed to load and call it.

    It is removed before the first file of the library is replaced, and written after the last one:
    a folder without a manifest holds no library, whatever else is in it.

    Attributes:
        model: Name of the model.
        digest: Digest of the model, see `Program`.
        target: Target of the library, as JSON values.
        required_features: Vector extensions that its code may use, by LLVM's names.
        threads: Number of threads that it was tuned for and runs with.
        inputs: Inputs of `main`, in order.
        outputs: Outputs of `main`, in order.
        files: Checksums of all files that loading needs, by path in the folder.
        compiled: Whether there is compiled code; otherwise onnxruntime runs the original file.
        original: Path of the user's ONNX file in the folder, for shapes that were not tuned or
            where nothing is compiled; empty where it is not there.
        parts: Parts of the code that run in onnxruntime.
        ranges: What integer inputs may be, by name, for random ones.
        weights: Names of the weights in the file, in order; variants share them.
        variants: Names of the libraries for all shapes, this one first; each has its manifest.
        versions: Versions of the packages that its code is for, by name; none in old folders.
        format: Version of the manifest's format.
    """

    model: str
    digest: str
    target: Mapping[str, Any]
    required_features: tuple[str, ...]
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    files: Mapping[str, Checksum] = field(default_factory=dict)
    compiled: bool = True
    original: str = ""
    parts: tuple[PartSpec, ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    weights: tuple[str, ...] | None = None
    variants: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def write(self, folder: Path, file: str = LIBRARY) -> None:
        """Write the manifest of a library, with the checksums that its files have now."""
        library = folder / file
        files = {name: Checksum.of(folder / name) for name in self.names(library)}
        manifest = replace(self, files=files, format=FORMAT)
        write_whole(manifest_path(library), json.dumps(asdict(manifest), indent=2) + "\n")

    @staticmethod
    def read(folder: Path, file: str = LIBRARY) -> Manifest:
        """Read the manifest of a library in a folder from `chameleon tune`.

        Raises:
            LibraryError: The folder holds no such library, or one of a newer version.
        """
        try:
            data = json.loads(manifest_path(folder / file).read_text())
            if data["format"] > FORMAT:
                raise LibraryError(f"{folder} was made by a newer Chameleon; upgrade this one")
            for name in ("inputs", "outputs"):
                data[name] = tuple(
                    TensorSpec(s["name"], tuple(s["shape"]), s["dtype"]) for s in data[name]
                )
            data["required_features"] = tuple(data["required_features"])
            sums = data.get("files", {})
            data["files"] = {name: Checksum(**checksum) for name, checksum in sums.items()}
            data["parts"] = tuple(_part(part) for part in data.get("parts", ()))
            data["variants"] = tuple(data.get("variants", ()))
            data["weights"] = None if data.get("weights") is None else tuple(data["weights"])
            data["ranges"] = {n: Range(**found) for n, found in data.get("ranges", {}).items()}
            data["threads"], _ = int(data["threads"]), str(data["target"]["kind"])
            return Manifest(**data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise LibraryError(
                f"{folder} holds no tuned library; make one with `chameleon tune`"
            ) from None

    def require_versions(self, folder: Path) -> None:
        """Check that the packages are here that compiled code is for.

        The code calls TVM's runtime by an interface that its next release may change.

        Raises:
            LibraryError: A package is missing, or has another release.
        """
        for name, built in self.versions.items() if self.compiled else ():
            here = versions([name]).get(name, "none")
            if release(here) != release(built):
                raise LibraryError(
                    f"{folder} was built with {name} {built}, and {here} is installed: install "
                    f"{name}=={built}, or tune the model again"
                )

    def ordered(self, weights: Mapping[str, Any]) -> list[Any]:
        """Return the weights in the order in which the code takes them.

        Raises:
            LibraryError: One is missing.
        """
        names = self.weights or [f"weight{number}" for number in range(len(weights))]
        missing = [name for name in names if name not in weights]
        if missing:
            raise LibraryError(f"the weights have no {missing[0]}: tune the model again")
        return [weights[name] for name in names]

    def names(self, library: Path) -> list[str]:
        """Return the paths in the folder of all files that loading needs."""
        compiled = [library.name, weights_path(library).name, *(part.file for part in self.parts)]
        folder = library.parent
        originals = sorted(path for path in (folder / ORIGINAL).rglob("*") if path.is_file())
        return [
            *(compiled if self.compiled else ()),
            *(str(path.relative_to(folder)) for path in originals if self.original),
        ]

    def verify(self, library: Path) -> None:
        """Check the files of a library before anything reads them.

        Half of a library would kill the process with SIGBUS, and half of the weights would give
        wrong outputs.

        Raises:
            LibraryError: A file is missing, damaged or unknown.
        """
        folder = library.parent
        needed = self.names(library) if self.format > 1 else []
        for name in dict.fromkeys([*self.files, *needed]):
            checksum = self.files.get(name)
            fault = checksum.fault(folder / name) if checksum else "unknown to the manifest"
            if fault:
                raise LibraryError(
                    f"{folder / name} is {fault}: copy the folder or tune the model again"
                )


RUNTIME = ("apache-tvm", "apache-tvm-ffi")
"""The packages that compiled code needs."""


def release(version: str) -> str:
    """Return the release of a version: `0.27.0` of `0.27.0.post1`, which is built anew only."""
    found = re.match(r"\d+(\.\d+)*", version)
    return found[0] if found else version


def _part(data: Mapping[str, Any]) -> PartSpec:
    return PartSpec(**{**data, "operators": tuple(data["operators"])})


def manifest_path(library: Path) -> Path:
    """Return the path of a library's manifest: `manifest.json` beside `model.so`."""
    return library.with_name(MANIFEST) if library.name == LIBRARY else library.with_suffix(".json")


def weights_path(library: Path) -> Path:
    """Return the path of a library's weights: `model.params` beside `model.so`.

    Libraries for other shapes, such as `model-1.so`, have their weights in the same file.
    """
    return library.with_name(library.name.partition(".")[0].partition("-")[0] + ".params")


def library_of(variant: int) -> str:
    """Return the name of the library of a variant: `model.so`, then `model-1.so`."""
    return LIBRARY if variant == 0 else f"{Path(LIBRARY).stem}-{variant}.so"
