from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from chameleon_tuner.system.checksums import Checksum


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_it_is_the_sha256_of_all_of_it(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(content)
    checksum = Checksum.of(tmp_path / "file")
    assert checksum == Checksum(size, hashlib.sha256(content).hexdigest())
    assert checksum.fault(tmp_path / "file") == ""


def test_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    checksum = Checksum.of(path)
    path.write_bytes(b"01234")
    assert checksum.fault(path) == "damaged (it has 5 bytes and should have 10)"
    path.write_bytes(b"0123456780")
    assert checksum.fault(path) == "damaged (its checksum differs)"
    path.unlink()
    assert checksum.fault(path) == "missing"
    assert checksum.fault(path / "below") == "missing"
    path.mkdir()
    assert checksum.fault(path).startswith(("damaged", "unreadable"))
