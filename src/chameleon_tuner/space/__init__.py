"""Design spaces: knobs, sketches, configurations, encodings and moves.

The package is plain Python and NumPy. It imports only `core`, and must not import TVM or the
search.
"""

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.space.knob import INWARD, OUTWARD, STAY, Choice, IntArray, Knob, Location, Tile
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace, neighbours, random_moves

__all__ = [
    "INWARD",
    "OUTWARD",
    "STAY",
    "Choice",
    "Configuration",
    "DesignSpace",
    "IntArray",
    "Knob",
    "Location",
    "Sketch",
    "Tile",
    "neighbours",
    "random_moves",
]
