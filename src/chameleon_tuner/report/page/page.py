"""The file `report.html`: written beside `report.md`, and again whenever more is known."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from chameleon_tuner.bench.profiling import Profile
from chameleon_tuner.core.errors import last_line
from chameleon_tuner.report.numbers import plural, significant
from chameleon_tuner.report.page import kernels, view
from chameleon_tuner.report.page.charts import network_chart, roofline_chart
from chameleon_tuner.report.page.search import milestones, read_search
from chameleon_tuner.report.profile import notes, table, title
from chameleon_tuner.report.result import Result
from chameleon_tuner.report.run import headline, verification
from chameleon_tuner.report.sections import read_addition
from chameleon_tuner.system.files import PAGE, write_whole

LOGGER = logging.getLogger("chameleon_tuner.report")


def write_page(result: Result) -> Path:
    """Write `report.html` into the folder of a result.

    The page needs no other file and no network. It has what the folder tells: the result, the
    records of the search, and the profile and the comparison with other runtimes, if they are of
    the model that is in the folder now.

    Args:
        result: The result.

    Returns:
        The path of the page.

    Raises:
        OSError: The file cannot be written.
    """
    path = result.folder / PAGE
    write_whole(path, page(result))
    return path


def try_to_write_page(result: Result) -> None:
    """Write the page of a run that has succeeded, which it does whatever becomes of the page.

    An older page is removed where none can be written, and a warning says why.

    Args:
        result: The result of the run.
    """
    try:
        write_page(result)
    except Exception as error:
        with contextlib.suppress(OSError):
            (result.folder / PAGE).unlink(missing_ok=True)
        LOGGER.warning("no %s: %s", PAGE, last_line(error))


def renew_page(folder: Path) -> None:
    """Write the page again after something was added to its folder, if the folder has a page.

    Args:
        folder: Folder of a tuned model.
    """
    if (folder / PAGE).is_file():
        with contextlib.suppress(Exception):  # the command's own result is there without it
            write_page(Result.read(folder))


def page(result: Result) -> str:
    """Return the page of a result as HTML."""
    environment = Environment(
        loader=PackageLoader("chameleon_tuner.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["length"] = lambda share: f"{100 * share:.2f}%"
    environment.filters["significant"] = significant
    environment.filters["plural"] = plural
    return environment.get_template("page.html.jinja").render(**_content(result)) + "\n"


def _content(result: Result) -> dict[str, Any]:
    search = read_search(result)
    rows = kernels.kernel_rows(result)
    content: dict[str, Any] = {
        "result": result,
        "headline": headline(result),
        "verification": verification(result),
        "tiles": list(view.tiles(result)),
        "latencies": view.latencies(result),
        "variants": view.variants(result),
        "kernels": rows[: kernels.MOST_ROWS],
        "more_kernels": rows[kernels.MOST_ROWS :],
        "kernels_sum": kernels.kernels_sum(result),
        "untuned": kernels.untuned_reasons(result),
        "times": view.time_rows(result),
        "trials": view.trial_rows(result),
        "places": view.place_rows(result),
        "facts": view.facts(result, search.device if search else ""),
        "search": search,
        "roofline": None,
        "rivals": _rivals(result),
    }
    if search is not None:
        content |= {
            "network": network_chart(search, result),
            "network_steps": list(milestones(search.network_ms)),
            "curves": [kernels.curve(kernel) for kernel in search.kernels[: kernels.MOST_CURVES]],
        }
    profile = _profile(result)
    if profile is not None:
        header, cells = table(profile)
        content["roofline"] = {
            "chart": roofline_chart(profile),
            "title": title(profile),
            "notes": notes(profile),
            "header": header,
            "rows": cells,
        }
    return content


def _profile(result: Result) -> Profile | None:
    data = read_addition(result.folder, "profile")
    try:
        return None if data is None else Profile.from_json(data)
    except (KeyError, TypeError, ValueError):
        return None


def _rivals(result: Result) -> list[view.Row]:
    data = read_addition(result.folder, "versus")
    try:
        return [] if data is None else view.rivals(data)
    except (KeyError, TypeError, ValueError):
        return []
