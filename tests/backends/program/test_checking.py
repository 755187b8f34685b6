from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.backends.program.checking import wrong
from chameleon_tuner.backends.program.spec import OutputCheck

EXACT, NEAR = OutputCheck(), OutputCheck(tolerance=1e-3)


@given(st.binary(max_size=40), st.sampled_from([EXACT, NEAR]))
def test_an_output_is_right_where_it_is_the_reference(content: bytes, check: OutputCheck) -> None:
    assert wrong(content, content, check) == ""


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_anything_else_is_wrong_where_it_has_to_be_the_same(mine: bytes, theirs: bytes) -> None:
    assert (wrong(mine, theirs, EXACT) == "") == (mine == theirs)


@pytest.mark.parametrize(
    ("mine", "theirs", "says"),
    [
        ("a\nb\n", "a\nc\n", "line 2 is 'b', and in the reference 'c'"),
        ("a\n", "a\nb\n", "has 1 lines, and the reference 2"),
        ("a", "a\n", "line ends"),
        ("", "a\n", "0 lines"),
    ],
)
def test_what_is_wrong_is_told(mine: str, theirs: str, says: str) -> None:
    assert says in wrong(mine.encode(), theirs.encode(), EXACT)


def test_bytes() -> None:
    assert "from byte 1 on" in wrong(b"\xff\xfe", b"\xff\xfd", EXACT)
    assert "has 1 bytes, and the reference 2" in wrong(b"\xff", b"\xff\xfd", EXACT)


@pytest.mark.parametrize(
    ("mine", "theirs", "right"),
    [
        ("sum = 1.0001", "sum = 1.0", True),
        ("sum = 1.01", "sum = 1.0", False),
        ("sum = 9.9999", "sum =  10.00", True),  # as wide as the number
        ("total = 1.0", "sum = 1.0", False),
        ("1000 1e-9", "1000 0", True),  # of the largest of its line
        ("1e-9", "0", False),
        ("nan", "nan", True),
        ("nan", "1.0", False),
        ("inf", "-inf", False),
        ("1 2", "1 2 3", False),
    ],
)
def test_numbers_within_a_tolerance(mine: str, theirs: str, right: bool) -> None:
    assert (wrong(mine.encode(), theirs.encode(), NEAR) == "") == right


def test_an_absolute_tolerance() -> None:
    check = OutputCheck(tolerance=0.0, absolute=1e-6)
    assert not wrong(b"1e-9", b"0", check)
    assert wrong(b"1e-3", b"0", check)


def test_what_is_ignored() -> None:
    check = OutputCheck(ignore=(r"^date: .*$", r"pid \d+"))
    assert not wrong(b"date: today\npid 1 x\n", b"date: monday\npid 20 x\n", check)
    assert wrong(b"date: today\npid 1 x\n", b"date: monday\npid 20 y\n", check)


def test_arrays() -> None:
    right = np.linspace(-1, 1, 100, dtype=np.float32)
    near, far = right + np.float32(1e-5), right.copy()
    far[3] += 0.1
    check = OutputCheck(dtype="float32", tolerance=1e-4)
    assert not wrong(near.tobytes(), right.tobytes(), check)
    assert "differs by 0.1" in wrong(far.tobytes(), right.tobytes(), check)
    assert "shape" in wrong(right[1:].tobytes(), right.tobytes(), check)
    assert "no array" in wrong(right.tobytes()[1:], right.tobytes(), check)
    assert wrong(near.tobytes(), right.tobytes(), OutputCheck(dtype="float32"))
    assert "differs by nan" in wrong((right * np.nan).tobytes(), right.tobytes(), check)


def test_numpy_files() -> None:
    def saved(array: object) -> bytes:
        file = io.BytesIO()
        np.save(file, array)  # type: ignore[arg-type]
        return file.getvalue()

    right = np.arange(6.0).reshape(2, 3)
    assert not wrong(saved(right + 1e-6), saved(right), NEAR)
    assert "shape" in wrong(saved(right.T), saved(right), NEAR)
    objects = np.array([{}], dtype=object)
    assert "no array" in wrong(saved(objects), saved(right), NEAR)
