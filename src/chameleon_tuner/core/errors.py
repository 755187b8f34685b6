"""The errors that a user can cause. Every message says what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ChameleonError(Exception):
    """Base class of every error that Chameleon raises on purpose."""


class UsageError(ChameleonError):
    """The call or the command line asks for something that does not exist or cannot be."""


class ModelError(ChameleonError):
    """The model cannot be read, imported or given static shapes."""


class ProgramError(ChameleonError):
    """A program cannot be tuned: its specification is wrong, or its default configuration fails."""


class TargetError(ChameleonError):
    """The target is unknown, or this machine cannot build or run for it."""


class RecordsError(ChameleonError):
    """A records file is not one, is damaged, or was written by a newer version."""


class OutputError(ChameleonError):
    """An output folder cannot be used: it holds something else, or is not writable."""


class NothingMeasuredError(ChameleonError):
    """No candidate of any task could be built and run."""


class LibraryError(ChameleonError):
    """A tuned library cannot be loaded or run on this machine."""


class MeasurementError(ChameleonError):
    """Measuring as a whole broke down; what a single candidate does is an outcome instead."""


def last_line(error: object, most: int = 200) -> str:
    """Return the last line of an error's text, or its class where it has none.

    The lines before it are places in the code of those who raised it.

    Args:
        error: The error.
        most: Length in characters after which it is cut.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:most]


def hint(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'resnet18'? ` if a known name is close, and an empty text otherwise."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
