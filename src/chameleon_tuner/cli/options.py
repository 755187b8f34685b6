"""Options that commands share, and their values."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from chameleon_tuner.errors import OutputError, UsageError

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

_LEAST_ROUNDS = 3


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


def check_seed(seed: int) -> None:
    """Raises a `UsageError` for a negative one."""
    if seed < 0:
        raise UsageError(f"--seed {seed}: a seed is not negative")


def check_rounds(rounds: int, purpose: str) -> None:
    """Raises a `UsageError` where they are too few for their purpose, such as "a median"."""
    if rounds < _LEAST_ROUNDS:
        raise UsageError(f"--rounds {rounds}: at least {_LEAST_ROUNDS}, for {purpose}")


def check_writable(folder: Path, instead: str) -> None:
    """Raises an `OutputError` for a folder that cannot be written, before minutes have passed.

    Args:
        folder: may be missing: that is for others to find.
        instead: what to do with a copy of it.
    """
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise OutputError(
            f"cannot write into {folder}: make it writable, or {instead} a copy of it"
        )


def command_line(words: Sequence[str], options: Mapping[str, tuple[Any, Any]]) -> str:
    """A command line with those options that differ from their defaults: (value, default) each."""
    differing = [
        word
        for name, (value, default) in options.items()
        if value != default
        for word in (name, str(value))
    ]
    return shlex.join(["chameleon", *words, *differing])
