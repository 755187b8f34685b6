"""The texts of errors."""

from __future__ import annotations

import pytest

from chameleon_tuner.core.errors import last_line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one", "one"),
        ("Traceback\n  somewhere\nwhat counts\n\n", "what counts"),
        (" \n", "ValueError"),
        ("", "ValueError"),
        ("x" * 500, "x" * 200),
    ],
)
def test_the_last_line_says_why(text: str, said: str) -> None:
    assert last_line(ValueError(text)) == said
