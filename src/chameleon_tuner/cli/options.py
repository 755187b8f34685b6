"""Options that commands share, and their values."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from chameleon_tuner.errors import UsageError

target_option = click.option(
    "--target",
    default="auto",
    metavar="TARGET",
    help="auto (this CPU), cuda (this machine's GPU), or any TVM target, such as "
    "'llvm -mcpu=znver4 -num-cores=8'.",
)

shape_option = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=N,N,...",
    help="Shape of an input with open dimensions, such as input=1,3,224,224; may be repeated.",
)


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by name of `name=1,3,224,224`.

    Raises:
        UsageError: it is not of that form, not positive, or names an input twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, extents = text.rpartition("=")
        if not name or not re.fullmatch(r"[0-9]+(,[0-9]+)*", extents):
            raise UsageError(f"--shape {text}: write it as input=1,3,224,224")
        shape = tuple(int(extent) for extent in extents.split(","))
        if 0 in shape:
            raise UsageError(f"--shape {text}: every dimension is at least 1")
        if name in shapes:
            raise UsageError(f"--shape names {name!r} twice")
        shapes[name] = shape
    return shapes
