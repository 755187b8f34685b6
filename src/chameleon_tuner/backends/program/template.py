"""Commands with placeholders, which the values of parameters fill in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chameleon_tuner.core.errors import ProgramError, hint

Value = int | float | str | bool
"""A value of a parameter."""

BUILD, DEFINES, PYTHON = "build", "defines", "python"
RESERVED = (BUILD, DEFINES, PYTHON)
"""Placeholders that are no parameters: the folder of a candidate's own files, `-DNAME=value` for
every parameter, and the Python that runs Chameleon."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


def text_of(value: Value) -> str:
    """Return a value as it stands in a command; booleans are 1 and 0, as the preprocessor's."""
    return str(int(value)) if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Template:
    """Text with placeholders such as `{block}`; `{{` and `}}` stand for braces.

    Attributes:
        text: The text.
    """

    text: str

    @property
    def names(self) -> set[str]:
        """The names of the placeholders."""
        return {found[1] for found in _PLACEHOLDER.finditer(self.text) if found[1]}

    def check(self, where: str, known: Collection[str]) -> None:
        """Raise a `ProgramError` if a placeholder has no meaning.

        Args:
            where: Name of the text in the specification.
            known: The names that have one.
        """
        for name in sorted(self.names.difference(known)):
            raise ProgramError(
                f"{where}: there is no parameter {name!r}; {hint(name, known)}"
                f"known: {', '.join(known)}; write {{{{{name}}}}} for braces"
            )

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with every placeholder replaced."""
        braces = {"{{": "{", "}}": "}"}
        return _PLACEHOLDER.sub(lambda m: values[m[1]] if m[1] else braces[m[0]], self.text)


@dataclass(frozen=True)
class CommandTemplate:
    """A command line with placeholders, read as a shell reads words, but run without a shell.

    A word that is nothing but a placeholder becomes as many words as its value has: none for an
    empty text, two for `-O3 -march=native`. Inside a longer word the value is put in as it is.

    Attributes:
        words: The words.
    """

    words: tuple[Template, ...]

    @staticmethod
    def of(text: str, where: str) -> CommandTemplate:
        """Return the template of a command line.

        Args:
            text: The command line.
            where: Its name in the specification.

        Raises:
            ProgramError: It is empty, or its quotation marks do not close.
        """
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ProgramError(f"{where}: {error}; check the quotation marks") from None
        if not words:
            raise ProgramError(f"{where}: the command is empty; write a program and its arguments")
        return CommandTemplate(tuple(map(Template, words)))

    @property
    def names(self) -> set[str]:
        """The names of all placeholders."""
        return set[str]().union(*(word.names for word in self.words))

    def check(self, where: str, known: Collection[str]) -> None:
        """See `Template.check`."""
        for word in self.words:
            word.check(where, known)

    def fill(self, values: Mapping[str, str], defines: Mapping[str, str]) -> list[str]:
        """Return the words of the command.

        Args:
            values: Text of every placeholder but `{defines}`.
            defines: Text of every parameter.

        Returns:
            The program and its arguments.
        """
        options = {name: f"-D{name}={text}" for name, text in defines.items()}
        joined = shlex.join(options.values())
        words: list[str] = []
        for word in self.words:
            alone = _PLACEHOLDER.fullmatch(word.text)
            if alone and alone[1] == DEFINES:
                words += options.values()
            elif alone and alone[1] in defines:
                words += shlex.split(defines[alone[1]])
            else:
                words.append(word.fill({**values, DEFINES: joined}))
        return words
