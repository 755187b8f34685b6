"""The command `chameleon zoo`, which writes well-known networks as ONNX files."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

NETWORKS = "alexnet, vgg16, resnet18, mobilenet_v2, bert_tiny"
"""The networks of `chameleon_tuner.zoo`, whose import is too slow for a help text."""


@click.command(
    short_help="Write an ONNX file of a well-known network.",
    help=f"""Write an ONNX file of a well-known network with random, seeded weights.

    NAME is one of {NETWORKS}. Nothing is downloaded.""",
)
@click.argument("name")
@click.option("--out", required=True, metavar="FILE", help="The file to write.")
@click.option("--seed", default=0, metavar="N", help="Of the weights.")
def zoo(name: str, out: str, seed: int) -> None:  # noqa: D103 - the help text is above
    from chameleon_tuner.zoo import save

    save(name, out, seed)
    megabytes = Path(out).stat().st_size / 1e6
    click.echo(f"{out}: {name}, {megabytes:.1f} MB")
    click.echo(f"next: chameleon tune {shlex.quote(out)} --out tuned/")
