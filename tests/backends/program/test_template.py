from __future__ import annotations

import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.backends.program.template import CommandTemplate, Template, text_of
from chameleon_tuner.core.errors import ProgramError

VALUES = {"block": "16", "flags": "-O3 -march=native", "none": ""}


def filled(text: str, **values: str) -> list[str]:
    defines = {**VALUES, **values}
    return CommandTemplate.of(text, "run").fill({**defines, "build": "/b c"}, defines)


def test_placeholders_are_filled_in() -> None:
    assert filled("./{block}x{block} -o {build}/a") == ["./16x16", "-o", "/b c/a"]


def test_a_word_that_is_a_parameter_has_as_many_words_as_its_value() -> None:
    assert filled("cc {flags} {none} x.c") == ["cc", "-O3", "-march=native", "x.c"]
    assert filled("cc x{flags}{none}") == ["cc", "x-O3 -march=native"]
    assert filled("cc {build}") == ["cc", "/b c"]


def test_defines_are_options_of_the_preprocessor() -> None:
    words = filled("cc {defines} x.c")
    assert words == ["cc", "-Dblock=16", "-Dflags=-O3 -march=native", "-Dnone=", "x.c"]
    assert filled('make "FLAGS={defines}"')[1] == f"FLAGS={shlex.join(words[1:-1])}"


def test_no_shell_reads_a_value() -> None:
    assert filled("echo x{block}", block="$(touch y); `z`") == ["echo", "x$(touch y); `z`"]
    assert filled("echo {block}", block="$(touch y)") == ["echo", "$(touch", "y)"]


def test_braces() -> None:
    assert filled("awk '{print $1}' {{block}}") == ["awk", "{print $1}", "{block}"]


@given(st.text(string.ascii_letters + string.punctuation + " ", min_size=1))
def test_text_without_placeholders_is_read_as_a_shell_reads_it(text: str) -> None:
    quoted = shlex.quote(text.replace("{", "{{").replace("}", "}}"))
    assert filled(f"echo {quoted}") == ["echo", text]


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty"), ("  ", "empty"), ("cc 'x", "quotation marks")]
)
def test_what_is_no_command(text: str, says: str) -> None:
    with pytest.raises(ProgramError, match=says):
        CommandTemplate.of(text, "run")


def test_an_unknown_placeholder_has_a_hint() -> None:
    with pytest.raises(ProgramError, match=r"run: .*'blok'; did you mean 'block'\?"):
        Template("x{blok}").check("run", ["block"])


def test_values_as_text() -> None:
    assert [text_of(value) for value in (True, False, 3, 0.5, "a b")] == [
        "1",
        "0",
        "3",
        "0.5",
        "a b",
    ]
