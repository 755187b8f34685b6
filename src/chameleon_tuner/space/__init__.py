"""Design spaces: knobs, sketches, constraints, configurations, encodings and moves.

The package is plain Python and NumPy. It imports only `core`, and must not import TVM or the
search.
"""

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.space.knob import (
    INWARD,
    OUTWARD,
    STAY,
    Category,
    Choice,
    IntArray,
    Knob,
    Location,
    Permutation,
    Tile,
)
from chameleon_tuner.space.parameters import (
    booleans,
    configuration_at,
    integers,
    parameter_space,
    powers_of_two,
    values_at,
)
from chameleon_tuner.space.relation import Constraint, Predicate, Relation, Table
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace, neighbours, random_moves

__all__ = [
    "INWARD",
    "OUTWARD",
    "STAY",
    "Category",
    "Choice",
    "Configuration",
    "Constraint",
    "DesignSpace",
    "IntArray",
    "Knob",
    "Location",
    "Permutation",
    "Predicate",
    "Relation",
    "Sketch",
    "Table",
    "Tile",
    "booleans",
    "configuration_at",
    "integers",
    "neighbours",
    "parameter_space",
    "powers_of_two",
    "random_moves",
    "values_at",
]
