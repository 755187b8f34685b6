"""The command `chameleon export`, which writes a tuned model for programs without Python."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--out", required=True, metavar="DIR", help="Folder of the result: a new one.")
@click.option("--cpp", is_flag=True, help="With headers and an example in C++.")
def export(folder: str, out: str, cpp: bool) -> None:
    """Write the tuned model in DIR, a folder from `chameleon tune`, to run without Python.

    The new folder has the code, the weights in a plain format, TVM's runtime of 7 MB, and with
    --cpp headers and an example with its CMakeLists.txt. docs/deploy.md describes the format.
    """
    from chameleon_tuner.backends.tvm.deploy.exporting import export_model

    size = export_model(Path(folder), Path(out), cpp=cpp)
    click.echo(f"written to {out}: {size / 1e6:.1f} MB, and the weights")
    if cpp:
        click.echo(f"try it: cmake -S {out} -B build && cmake --build build && build/example {out}")
