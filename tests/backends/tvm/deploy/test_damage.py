"""Folders that were copied by halves, changed, or left by a command that was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.deploy import library
from chameleon_tuner.backends.tvm.deploy.build import (
    UNTUNED,
    build_libraries,
    drop_rivals,
    keep_untuned,
)
from chameleon_tuner.backends.tvm.deploy.compiled import load_weights
from chameleon_tuner.backends.tvm.deploy.library import LIBRARY, Library
from chameleon_tuner.backends.tvm.deploy.manifest import Manifest
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import Network, open_target, prepare
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.system.checksums import Checksum


class KilledError(BaseException):
    """Ends the command where it is."""


@pytest.fixture(scope="module")
def network(tiny_relax: Any) -> Network:
    return prepare(import_model(tiny_relax), open_target("auto", 2), 2, registered())


@pytest.fixture(scope="module")
def built(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both libraries: nobody writes into it."""
    folder = tmp_path_factory.mktemp("built")
    build_libraries([network], {}, folder)
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy"))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.so", "model.params", "untuned.so", "untuned.params"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (halve, r"is damaged \(it has [\d,]+ bytes and should have [\d,]+\): copy the folder or"),
        (flip, r"is damaged \(its checksum differs\): copy the folder or tune the model again"),
        (Path.unlink, "is missing: copy the folder or tune the model again"),
    ],
)
def test_a_damaged_file_is_named(
    file: str, damage: Callable[[Path], None], said: str, folder: Path
) -> None:
    damage(folder / file)
    with pytest.raises(LibraryError, match=f"{file} {said}"):
        Library(folder, Path(file).with_suffix(".so").name)


def test_the_manifest_lists_what_loading_needs(folder: Path) -> None:
    for file in (LIBRARY, UNTUNED):
        files = Manifest.read(folder, file).files
        assert {*files} == {file, Path(file).with_suffix(".params").name}
        assert files == {name: Checksum.of(folder / name) for name in files}


def test_a_file_that_the_manifest_does_not_know_is_not_loaded(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "files": {}}))
    with pytest.raises(LibraryError, match=r"model\.so is unknown to the manifest"):
        Library(folder)


@pytest.mark.parametrize("files", [[], {"model.so": "text"}, {"model.so": {"bytes": 1}}, None])
def test_a_manifest_that_is_none(files: object, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    with pytest.raises(LibraryError, match="holds no tuned library"):
        Library(folder)


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        ({}, None),
        ({"apache-tvm": metadata.version("apache-tvm")}, None),
        ({"apache-tvm": metadata.version("apache-tvm").partition(".post")[0]}, None),
        ({"apache-tvm": "0.99.1.post2"}, r"with apache-tvm 0\.99\.1\.post2, and [\d.pots]+ is"),
        ({"chameleon-nothing": "1.0"}, r"with chameleon-nothing 1\.0, and none is installed"),
    ],
)
def test_another_runtime_is_refused(
    packages: dict[str, str], said: str | None, folder: Path
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["versions"].keys() == {"apache-tvm", "apache-tvm-ffi"}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "versions": packages}))
    if said is None:
        Library(folder)
    else:
        with pytest.raises(LibraryError, match=said):
            Library(folder)


def test_a_folder_of_the_first_format_is_loaded(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["format"] = 1
    del manifest["files"], manifest["versions"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    old = Library(folder)
    [output] = old(old.random_inputs(0)).values()
    assert np.isfinite(output).all()


def test_the_untuned_library_is_verified_where_it_is_kept(folder: Path) -> None:
    before = Manifest.read(folder, UNTUNED)
    untuned = Library(folder, UNTUNED)
    inputs = untuned.random_inputs(0)
    keep_untuned(folder)
    drop_rivals(folder)
    after = Manifest.read(folder)
    assert after.files[LIBRARY] == before.files[UNTUNED]
    assert after.files["model.params"] == before.files["untuned.params"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("manifest.json", "model.params", "model.so"),
    ]
    for expected, output in zip(
        untuned(inputs).values(), Library(folder)(inputs).values(), strict=True
    ):
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("step", range(4))
def test_who_is_killed_while_the_untuned_library_is_kept_leaves_no_library(
    step: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first, between any two, and after the last file was replaced."""
    left = step
    replace = Path.replace

    def until_killed(self: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            raise KilledError
        left -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", until_killed)
    if step == 3:
        keep_untuned(folder)
    else:
        with pytest.raises(KilledError):
            keep_untuned(folder)
        with pytest.raises(LibraryError, match="holds no tuned library; make one"):
            Library(folder)


def test_a_resumed_run_builds_a_folder_anew(network: Network, folder: Path) -> None:
    """The run before was killed after the weights were replaced, and the library was not."""
    (folder / "manifest.json").unlink()
    (folder / "model.params").write_bytes(b"of another run")
    build_libraries([network], {}, folder)
    deployed = Library(folder)
    [output] = deployed(deployed.random_inputs(0)).values()
    assert np.isfinite(output).all()


def test_a_rebuild_has_no_manifest_while_files_are_replaced(
    network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even of the libraries that were whole before."""

    def killed(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(Manifest, "write", killed)
    with pytest.raises(KilledError):
        build_libraries([network], {}, folder)
    for file in (LIBRARY, UNTUNED):
        with pytest.raises(LibraryError, match="holds no tuned library"):
            Library(folder, file)


def test_a_library_that_is_replaced_while_it_is_loaded_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was verified is not what was loaded."""

    def replaced(path: Path, manifest: Manifest) -> Mapping[str, Any]:
        weights = load_weights(path, manifest)
        keep_untuned(folder)
        return weights

    monkeypatch.setattr(library, "load_weights", replaced)
    with pytest.raises(LibraryError, match="changed while it was loaded"):
        Library(folder)


def test_code_that_was_replaced_is_not_mixed_with_new_weights(folder: Path) -> None:
    """glibc would give the process the old code again; where it is loaded, it goes on."""
    loaded = Library(folder)
    inputs = loaded.random_inputs(0)
    [before] = loaded(inputs).values()
    keep_untuned(folder)
    with pytest.raises(LibraryError, match="was replaced after this process had loaded it"):
        Library(folder)
    [after] = loaded(inputs).values()
    np.testing.assert_array_equal(after, before)


def test_a_link_that_points_elsewhere_is_followed(folder: Path, tmp_path: Path) -> None:
    """The old code is not found again under the name of the link."""
    kept = Path(shutil.copytree(folder, tmp_path / "kept"))
    keep_untuned(kept)
    link = tmp_path / "current"
    outputs = []
    for version in (folder, kept):
        link.unlink(missing_ok=True)
        link.symlink_to(version)
        current = Library(link)
        outputs += current(current.random_inputs(0)).values()
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
