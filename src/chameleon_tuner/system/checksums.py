"""Checksums of files, by which a damaged one is recognised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checksum:
    """The size and the SHA-256 of a file's content.

    Of the algorithms in `hashlib` that resist tampering, SHA-256 is the fastest where the CPU has
    instructions for it: a file of 500 MB took 0.5 s on a Zen 5, and BLAKE2b took 1.0 s.
    """

    bytes: int
    sha256: str

    @staticmethod
    def of(path: Path) -> Checksum:
        """Return the checksum of a file."""
        digest, size = hashlib.sha256(), 0
        chunk = memoryview(bytearray(_CHUNK_BYTES))
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(chunk):
                digest.update(chunk[:count])
                size += count
        return Checksum(size, digest.hexdigest())

    def fault(self, path: Path) -> str:
        """Return what is wrong with the file that should have this checksum; empty if nothing."""
        try:
            size = path.stat().st_size
            if size != self.bytes:
                return f"damaged (it has {size:,} bytes and should have {self.bytes:,})"
            return "" if Checksum.of(path) == self else "damaged (its checksum differs)"
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"unreadable ({error.strerror})"
