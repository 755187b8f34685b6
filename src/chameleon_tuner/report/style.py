"""The style of figures: a colour for every recipe, sizes, and reproducible files."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

Dashes = Literal["-", "--", "-.", ":"]

WIDTH_IN = 11.0
"""The width of every figure. It is 1,056 pixels on the page, where 9 points are 12 pixels."""
INK = "#222222"
GREY = "#8a8a8a"
PNG_DPI = 144
_NAMES_A_ROW = 5

_RC: Any = {
    "font.family": "DejaVu Sans",  # part of matplotlib, so it is the same on every machine
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9.5,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "text.parse_math": False,  # the name of a task may contain any character, such as $
    "svg.fonttype": "path",
    "svg.hashsalt": "chameleon",
}

_NAMED: dict[str, tuple[str, Dashes]] = {
    # The palette of Okabe and Ito, continued by Tol's muted one. Both suit colour-blind readers.
    "chameleon": ("#d55e00", "-"),
    "chameleon-paper": ("#e69f00", "-"),
    "annealing+greedy": ("#56b4e9", "--"),
    "annealing+adaptive": ("#0072b2", "-"),
    "ppo+greedy": ("#cc79a7", "--"),
    "ppo+adaptive": ("#882255", "-"),
    "autotvm": ("#009e73", "-"),
    "evolutionary": ("#999933", "-."),
    "random": (GREY, ":"),
    "metaschedule": (INK, "-"),
    "metaschedule+chameleon": ("#d55e00", "--"),
}
_OTHERS = ("#332288", "#44aa99", "#aa4499", "#117733", "#88ccee", "#cc6677")
_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Stroke:
    """The look of a recipe's line.

    Attributes:
        colour: Colour of the line.
        dashes: Dash pattern.
        width: Width in points.
        order: Drawing order; lines with a higher number are drawn on top.
    """

    colour: str
    dashes: Dashes
    width: float
    order: float


@dataclass(frozen=True)
class Drawing:
    """A figure with its title and caption.

    Attributes:
        name: Name of its files without suffix.
        title: Title above the figure.
        caption: Explanation of its lines, bands and marks.
        figure: The figure.
    """

    name: str
    title: str
    caption: str
    figure: Figure


def base(recipe: str) -> str:
    """Return the name of a recipe without its number of trials, as in `metaschedule:256`."""
    return recipe.partition(":")[0]


def strokes(recipes: Sequence[str]) -> dict[str, Stroke]:
    """Return a stroke for every recipe, whose colour depends only on the recipe's name.

    Recipes with the same colour, such as one recipe with two numbers of trials, differ in their
    dashes.
    """
    seen: Counter[str] = Counter()
    found = {}
    for recipe in recipes:
        name = base(recipe)
        colour, dashes = _NAMED.get(name) or (
            _OTHERS[zlib.crc32(name.encode()) % len(_OTHERS)],
            "-",
        )
        dashes = _DASHES[(_DASHES.index(dashes) + seen[colour]) % len(_DASHES)]
        seen[colour] += 1
        first = name == "chameleon"
        found[recipe] = Stroke(colour, dashes, 2.4 if first else 1.4, 4.0 if first else 3.0)
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style to figures made and saved in the block, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def canvas(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty figure, by default with the width of the page."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def legend_on_top(figure: Figure, drawn: dict[str, Stroke]) -> None:
    """Add one legend of the recipes above all panels."""
    handles = [
        Line2D([], [], color=s.colour, linestyle=s.dashes, linewidth=s.width + 0.4)
        for s in drawn.values()
    ]
    # Matplotlib omits a label that begins with an underscore from the legend.
    labels = [recipe.lstrip("_") for recipe in drawn]
    rows = math.ceil(len(labels) / _NAMES_A_ROW)
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=math.ceil(len(labels) / rows),
        handlelength=2.6,
        columnspacing=1.6,
    )


def message(axes: Axes, text: str) -> None:
    """Write a text into a panel that explains why the panel is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def shortened(name: str, most: int) -> str:
    """Shorten a name to `most` characters; its ends stay, because they distinguish names."""
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def saved(figure: Figure, ending: str) -> bytes:
    """Return a figure as the content of a file, identical whenever it is drawn.

    Args:
        figure: The figure; to be saved inside `styled`.
        ending: `svg` or `png`.
    """
    unsaid = {
        "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
        "png": {"Software": None},
    }
    file = io.BytesIO()
    figure.savefig(file, format=ending, dpi=PNG_DPI, metadata=unsaid[ending])
    return file.getvalue()


_TAG = re.compile(r"<[^>]+>")
_ID = re.compile(r'(\sid="|href="#|url\(#)')
_COLOUR = re.compile(r"\b(fill|stroke|stop-color): (#[0-9a-f]{6})\b")


def inlined(svg: str, name: str, theme: Mapping[str, str] | None = None) -> Markup:
    """Return a figure as part of a page: without its prologue, and with ids unique to the figure.

    Only tags are changed: what a text of the figure says stays as it is.

    Args:
        svg: Content of the SVG file.
        name: Name of the figure, the prefix of its ids.
        theme: CSS colours, such as `var(--ink)`, in place of colours of the figure.

    Returns:
        The SVG element.
    """
    colours = theme or {}

    def changed(tag: re.Match[str]) -> str:
        named = _ID.sub(rf"\g<1>{name}-", tag[0])
        return _COLOUR.sub(lambda found: f"{found[1]}: {colours.get(found[2], found[2])}", named)

    # Markup is safe, because the file comes from matplotlib, which escapes all text.
    return Markup(_TAG.sub(changed, svg[svg.index("<svg") :]))  # noqa: S704
