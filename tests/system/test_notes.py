"""Notes of what a process is doing."""

from __future__ import annotations

from pathlib import Path

import pytest

from chameleon_tuner.system.notes import Notes


def test_the_last_notes_are_read(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.json")
    assert notes.read() == {}
    notes.write(nodes=["a", "b"], operator="Relu")
    assert Notes(tmp_path / "notes.json").read() == {"nodes": ["a", "b"], "operator": "Relu"}
    notes.write()
    assert notes.read() == {}


@pytest.mark.parametrize("content", [b"", b'{"nodes": ["a', b"[1]", b"\xff"])
def test_half_written_notes_say_nothing(content: bytes, tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes.json")
    notes.path.write_bytes(content)
    assert notes.read() == {}
