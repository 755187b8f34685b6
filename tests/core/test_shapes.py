"""One shape of an input, or several, all of which are tuned."""

from __future__ import annotations

import pytest

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.shapes import GivenShapes, told_shapes, variants


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [{}]),
        ({"x": (1, 3)}, [{"x": (1, 3)}]),
        ({"x": [1, 3], "scalar": ()}, [{"x": (1, 3), "scalar": ()}]),
        ({"x": [(1, 3)]}, [{"x": (1, 3)}]),
        ({"x": [(1, 3), [2, 3]]}, [{"x": (1, 3)}, {"x": (2, 3)}]),
        (  # a single shape is that of all variants, and several change together
            {"x": [(1,), (2,)], "y": (5,), "z": [(3,), (4,)]},
            [{"x": (1,), "y": (5,), "z": (3,)}, {"x": (2,), "y": (5,), "z": (4,)}],
        ),
    ],
)
def test_every_variant_has_a_shape_of_every_input(
    given: GivenShapes, expected: list[dict[str, tuple[int, ...]]]
) -> None:
    assert variants(given) == expected


def test_inputs_that_vary_do_so_together() -> None:
    with pytest.raises(UsageError, match="x has 2, y has 3"):
        variants({"x": [(1,), (2,)], "y": [(1,), (2,), (3,)]})


def test_no_variant_is_given_twice() -> None:
    with pytest.raises(UsageError, match="x=1,3 is given twice"):
        variants({"x": [(1, 3), (2, 3), (1, 3)]})


def test_shapes_are_told_as_they_are_typed() -> None:
    assert told_shapes({"x": (1, 3, 48), "scalar": ()}) == "x=1,3,48 scalar="
    assert told_shapes({}) == ""
