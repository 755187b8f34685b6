"""Reading a specification from its file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from chameleon_tuner.backends.program.parsing import parse
from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.core.errors import ProgramError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_spec(path: str | Path) -> Spec:
    """Read a specification from a TOML file.

    Raises:
        ProgramError: It cannot be read, or something in it is wrong.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProgramError(
            f"{path}: {error.strerror}; give the path of a specification, a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProgramError(f"{path} is not TOML: {error}") from None
    try:
        spec = parse(data, path.resolve().parent, path.stem)
        _check_places(spec)
    except ProgramError as error:
        raise ProgramError(f"{path}: {error}") from None
    return spec


def _check_places(spec: Spec) -> None:
    """Check that programs and files that the specification names are there."""
    for where, command in spec.commands.items():
        [program, *_] = command.words
        if program.names:
            continue
        path = spec.folder / program.text if "/" in program.text else program.text
        if shutil.which(path) is None:
            raise ProgramError(
                f"{where}: {program.text!r} is no program here; install it, or write its path"
            )
    for where, name in {"stdin": spec.stdin, "check.reference": spec.check.reference}.items():
        if name and not (spec.folder / name).is_file():
            raise ProgramError(f"{where}: {name}: no such file")
    for pattern in spec.inputs:
        if not files_of(spec.folder, pattern):
            raise ProgramError(f"inputs: {pattern}: no such file in {spec.folder}")


def files_of(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that a pattern such as `src/**/*.h` matches, sorted.

    Raises:
        ProgramError: The pattern is empty, or not relative to the folder.
    """
    try:
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError):
        raise ProgramError(f"inputs: {pattern!r}: write a path in the folder {folder}") from None
