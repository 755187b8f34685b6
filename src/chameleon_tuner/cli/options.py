"""Options that commands share, and checks of their values."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.core.errors import OutputError, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

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
    help="Shape of an input with open dimensions, such as input=1,3,224,224; may be repeated, "
    "also for one input, whose shapes are all tuned then.",
)


def store_options(command: Command) -> Command:
    """Add `--store PLACE` and `--no-store`."""
    own = click.option(
        "--no-store", is_flag=True, help="Neither use nor keep records of other runs."
    )
    place = click.option(
        "--store",
        metavar="PLACE",
        help="Records of all runs: a file, or postgresql+psycopg://USER@HOST/NAME.",
        show_default="$CHAMELEON_STORE, or ~/.local/share/chameleon/records.db",
    )
    return place(own(command))


def algorithm_options(command: Command) -> Command:
    """Add `--without NAME`, and `--NAME/--no-NAME` of every registered algorithm."""
    algorithms = registered()
    for name, algorithm in reversed(list(algorithms.items())):
        flag = click.option(f"--{name}/--no-{name}", default=True, help=algorithm.help)
        command = flag(command)
    without = click.option(
        "--without",
        multiple=True,
        metavar="NAME",
        help=f"Leave out an algorithm: {', '.join(algorithms)}; may be repeated.",
    )
    return without(command)


_LEAST_ROUNDS = 3


def parse_shapes(texts: Sequence[str]) -> dict[str, list[tuple[int, ...]]]:
    """Parse texts such as `name=1,3,224,224` into shapes by name, in the order of the texts.

    A scalar has no extents: `name=`.

    Raises:
        UsageError: If a text has another form, or an extent is 0.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for text in texts:
        name, _, extents = text.rpartition("=")
        if not name or not re.fullmatch(r"([0-9]+(,[0-9]+)*)?", extents):
            raise UsageError(f"--shape {text}: write it as input=1,3,224,224")
        shape = tuple(int(extent) for extent in extents.split(",") if extent)
        if 0 in shape:
            raise UsageError(f"--shape {text}: every dimension is at least 1")
        shapes.setdefault(name, []).append(shape)
    return shapes


def check_seed(seed: int) -> None:
    """Raise a `UsageError` if the seed is negative."""
    if seed < 0:
        raise UsageError(f"--seed {seed}: a seed is not negative")


def check_rounds(rounds: int, purpose: str) -> None:
    """Raise a `UsageError` if there are too few rounds for their purpose, such as "a median"."""
    if rounds < _LEAST_ROUNDS:
        raise UsageError(f"--rounds {rounds}: at least {_LEAST_ROUNDS}, for {purpose}")


def check_writable(folder: Path, instead: str) -> None:
    """Raise an `OutputError` if a folder is not writable, before the command runs for minutes.

    Args:
        folder: The folder. A missing one is accepted here, because another check reports it.
        instead: Verb for what the user can do with a copy of the folder instead.
    """
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise OutputError(
            f"cannot write into {folder}: make it writable, or {instead} a copy of it"
        )


def command_line(words: Sequence[str], options: Mapping[str, tuple[Any, Any]]) -> str:
    """Return a command line with the options that differ from their defaults.

    Args:
        words: Words of the command after `chameleon`.
        options: Value and default of every option by name.
    """
    differing = [
        word
        for name, (value, default) in options.items()
        if value != default
        for word in (name, str(value))
    ]
    return shlex.join(["chameleon", *words, *differing])
