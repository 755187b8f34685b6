"""The command `chameleon run`, which runs a tuned model and measures its latency."""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import check_seed
from chameleon_tuner.core.errors import OutputError, UsageError

if TYPE_CHECKING:
    from chameleon_tuner.backends.tvm.deploy.library import Library


_BENCH_ROUNDS, _BENCH_ROUND_SECS = 10, 0.2
"""The number and the length of the rounds, as in the final comparison of `chameleon tune`."""


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--inputs", metavar="X.npz", help="Arrays by input name; random ones without.")
@click.option("--outputs", metavar="Y.npz", help="Where to write the outputs, by name.")
@click.option("--bench", is_flag=True, help="Time repeated calls.")
@click.option("--seed", default=0, metavar="N", help="Of random inputs.")
def run(folder: str, inputs: str | None, outputs: str | None, bench: bool, seed: int) -> None:
    """Run the tuned model in DIR, a folder from `chameleon tune`.

    Shows the outputs' shapes and values in short, writes them where --outputs says, and with
    --bench the latency of a call.
    """
    check_seed(seed)
    if outputs is not None:
        _check_writable(Path(outputs))
    given = None if inputs is None else load_arrays(Path(inputs))
    with NativeMessages():
        from chameleon_tuner.backends.tvm.deploy.library import Library

        library = Library(Path(folder))
        given = library.random_inputs(seed) if given is None else given
        computed = library(given)
        latency = _bench(library, given) if bench else []
    for name, array in computed.items():
        click.echo(describe(name, array))
    if outputs is not None:
        save_arrays(Path(outputs), computed)
        click.echo(f"written to {outputs}")
    for line in latency:
        click.echo(line)


def _check_writable(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: name a file in a folder that exists")


def load_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file by name, without unpickling.

    Raises:
        UsageError: If the file is missing or is not an npz file of plain arrays.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; make one with numpy.savez") from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise UsageError(
            f"{path} is no npz file of plain arrays ({reason[:120]}); make one with numpy.savez"
        ) from None


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file under exactly this path; arrays may have any name."""
    import numpy as np

    # numpy.savez would add a suffix to the path, and rejects an array named `file`.
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def describe(name: str, array: Any) -> str:
    """Describe an output on one line."""
    shape = "x".join(map(str, array.shape)) or "scalar"
    if not array.size:
        return f"{name}: {shape} {array.dtype}, empty"
    numbers = f"mean {array.mean():.4g}, min {array.min():.4g}, max {array.max():.4g}"
    return f"{name}: {shape} {array.dtype}, {numbers}"


def _bench(library: Library, inputs: Mapping[str, Any]) -> list[str]:
    from chameleon_tuner.report.numbers import plural, significant

    library.time(inputs, _BENCH_ROUND_SECS)  # warm-up, because an idle CPU is slow at first
    rounds = [library.time(inputs, _BENCH_ROUND_SECS) * 1e3 for _ in range(_BENCH_ROUNDS)]
    median, low, high = statistics.median(rounds), min(rounds), max(rounds)
    return [
        f"latency: {significant(median)} ms, median of {_BENCH_ROUNDS} rounds "
        f"({significant(low)} to {significant(high)} ms) on "
        f"{plural(library.manifest.threads, 'thread')}"
    ]
