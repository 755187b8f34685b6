"""Design spaces: knobs, sketches, configurations, encodings and moves."""

from chameleon_tuner.space.configuration import (
    Configuration,
    Deployed,
    ForeignTrace,
    LoweredByTVM,
)
from chameleon_tuner.space.knob import INWARD, OUTWARD, STAY, Choice, IntArray, Knob, Location, Tile
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace

__all__ = [
    "INWARD",
    "OUTWARD",
    "STAY",
    "Choice",
    "Configuration",
    "ForeignTrace",
    "Deployed",
    "DesignSpace",
    "IntArray",
    "Knob",
    "Location",
    "LoweredByTVM",
    "Sketch",
    "Tile",
]
