"""The threads of a library, which are compiled into it: see `threads.cc`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tvm.support import cc

from chameleon_tuner.core.errors import last_line

SOURCE = Path(__file__).with_suffix(".cc")

_TVMS, _OURS = "__TVMBackendParallelLaunch", "__ChameleonParallelLaunch"
"""The pointers to what runs a parallel loop. TVM's runtime sets the first in every library that it
loads; the second is set when the library is compiled."""


def compile_threads(path: Path, threads: int) -> None:
    """Compile the code that runs the parallel loops of a library to an object file.

    Args:
        path: The path of the object file.
        threads: The number of threads, unless `TVM_NUM_THREADS` is set where the library runs.

    Raises:
        RuntimeError: There is no C++ compiler, or it refuses the code.
    """
    flags = ["-c", "-O2", "-fPIC", "-std=c++17", "-pthread", f"-DCHAMELEON_THREADS={threads}"]
    _run([cc.get_cc() or "c++", *flags, str(SOURCE), "-o", str(path)])


def renamer() -> str | None:
    """Return the tool that renames the symbols of object files; None if there is none."""
    return shutil.which("objcopy") or shutil.which("llvm-objcopy")


def take_over(path: Path, tool: str) -> None:
    """Make the kernels of an object file run their loops by the code of `compile_threads`.

    Args:
        path: The path of the object file, which is changed.
        tool: The tool that renames symbols, from `renamer`.
    """
    _run([tool, f"--redefine-sym={_TVMS}={_OURS}", str(path)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]} does not run: {error}") from None
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {last_line(done.stderr)}")
