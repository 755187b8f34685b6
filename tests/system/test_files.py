from __future__ import annotations

import gc
from pathlib import Path

import pytest

from chameleon_tuner.core.errors import ModelError, OutputError
from chameleon_tuner.system.files import ScratchFolder, make_folder, require_file, write_whole


def test_a_scratch_folder_goes_with_its_owner() -> None:
    """Without a warning, which tests make an error."""
    owner = ScratchFolder()
    (owner.path / "below").mkdir()
    (owner.path / "below" / "weights.bin").write_bytes(b"weights")
    path = owner.path
    assert path.is_dir()
    assert ScratchFolder().path != path
    del owner
    gc.collect()
    assert not path.exists()


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "text")
    with path.open() as before:
        write_whole(path, b"bytes")
        assert before.read() == "text"
    assert path.read_bytes() == b"bytes"
    assert [other.name for other in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="file"):
        write_whole(path, "text")
    assert [other.name for other in tmp_path.iterdir()] == ["file"]


def test_places_are_checked(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert not any((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").touch()
    require_file(tmp_path / "file")
    with pytest.raises(ModelError, match="no such file"):
        require_file(tmp_path)
    with pytest.raises(OutputError, match="cannot write into"):
        make_folder(tmp_path / "file" / "below")
