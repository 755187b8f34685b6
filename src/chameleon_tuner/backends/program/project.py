"""The task of a program, and everything that identifies it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chameleon_tuner.backends.program.knobs import space_of
from chameleon_tuner.backends.program.learned import Places
from chameleon_tuner.backends.program.reading import files_of
from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.ports.records import Environment, canonical_json, fingerprint
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import cpu_name, usable_cores, versions

TARGET = {"kind": "program"}


@dataclass(frozen=True)
class ProgramProject:
    """A program that can be tuned.

    Attributes:
        spec: Its specification.
        out: Folder of the result, whose files are not the program's; None without one.
    """

    spec: Spec
    out: Path | None = None

    @cached_property
    def space(self) -> DesignSpace:
        """The design space."""
        return space_of(self.spec)

    @cached_property
    def digest(self) -> str:
        """Hash of the specification and of the content of all files that it names."""
        contents = {
            str(path.relative_to(self.spec.folder) if inside else path): _hash_of(path)
            for path in sorted(set(self._files()))
            if self.out is None or not path.resolve().is_relative_to(self.out.resolve())
            for inside in [path.is_relative_to(self.spec.folder)]
        }
        return fingerprint([self._module, contents])[:16]

    @property
    def _module(self) -> str:
        """The specification as text. The order of the parameters is that of the knobs: it stays."""
        return json.dumps(self.spec.plain)

    def _files(self) -> Iterator[Path]:
        spec = self.spec
        words = [word for command in spec.commands.values() for word in command.words]
        named = [word.text for word in words if not word.names]
        for name in (*named, spec.stdin, spec.check.reference):
            path = spec.folder / name
            if name and path.is_file():
                yield path
        for pattern in spec.inputs:
            yield from files_of(spec.folder, pattern)

    @cached_property
    def environment(self) -> Environment:
        """Where timings are comparable: the machine, and the programs that the commands start."""
        return Environment(
            canonical_json(TARGET),
            cpu_name(),
            usable_cores(),
            {**versions(("chameleon-tuner",)), **self._programs()},
        )

    def _programs(self) -> Mapping[str, str]:
        """Return hashes of the programs of the commands, by name."""
        found = {}
        for command in self.spec.commands.values():
            [program, *_] = command.words
            path = sys.executable if program.names else shutil.which(program.text)
            if path is not None:
                found[Path(path).name] = _hash_of(Path(path).resolve())
        return found

    def task(self, places: Places) -> Task:
        """Return the task.

        Args:
            places: Where workers find and leave what belongs to it.
        """
        return Task(self.spec.name, self.digest, self._module, places.target(), self.space)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]
