"""The page of a comparison and the files of its figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chameleon_tuner.report.compare.bars import two_by_two, where_time_went
from chameleon_tuner.report.compare.curves import AXES, by_task, over_tasks
from chameleon_tuner.report.compare.scatter import scatter
from chameleon_tuner.report.compare.style import Drawing, saved, styled
from chameleon_tuner.report.compare.view import ComparisonView
from chameleon_tuner.writing import write_whole

PAGE = "report.html"
FIGURES = "figures"


def write_report(out: Path, view: ComparisonView) -> list[Path]:
    """Write `report.html` and the figures of a comparison, each as SVG and as PNG.

    The page holds its figures and its style: it works offline and on its own. The same view
    gives the same bytes. Figures without data are left out.

    Args:
        out: a folder; made where it does not exist.
        view: what is shown.

    Returns:
        The files: the page first, then the figures.
    """
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    figures, files = [], []
    with styled():
        for drawing in _drawings(view):
            images = {ending: saved(drawing.figure, ending) for ending in ("svg", "png")}
            for ending, image in images.items():
                files.append(out / FIGURES / f"{drawing.name}.{ending}")
                write_whole(files[-1], image)
            figures.append((drawing, inlined(images["svg"].decode(), drawing.name)))
    write_whole(out / PAGE, _page(view, figures))
    return [out / PAGE, *files]


def _drawings(view: ComparisonView) -> Iterator[Drawing]:
    drawings = [
        over_tasks(view.curves),
        *(by_task(view.curves, axis) for axis in AXES),
        two_by_two(view.curves),
        where_time_went(view.curves),
        scatter(view.clusters) if view.clusters else None,
    ]
    yield from (drawing for drawing in drawings if drawing)


def inlined(svg: str, name: str) -> Markup:
    """A figure as part of a page: without its prologue, with ids that no other figure has."""
    body = svg[svg.index("<svg") :]
    # Markup, because the file is matplotlib's, which escapes what it is given.
    return Markup(re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", body))  # noqa: S704


def _page(view: ComparisonView, figures: list[tuple[Drawing, Markup]]) -> str:
    environment = Environment(
        loader=PackageLoader("chameleon_tuner.report", "compare"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ended = [curve for curve in view.curves if curve.error]
    template = environment.get_template("page.html.jinja")
    return template.render(view=view, figures=figures, ended=ended) + "\n"
