"""Other algorithms for kernels: one folder each, found by being there.

A folder is a package whose `__init__.py` has an `ALGORITHM` and imports no TVM, so that the command
line can list the algorithms at once. To add one, add a folder; nothing else names it: its options
`--no-NAME` and `--without NAME`, its tasks and its part of the libraries come from here.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chameleon_tuner.backends.tvm.rewrites.base import Rewrite


@dataclass(frozen=True)
class Algorithm:
    """An algorithm that kernels may be computed by, where it is faster.

    Attributes:
        name: Name of the folder, which users type.
        help: What the algorithm does, one sentence for the command line.
        load: Imports the implementation, and with it TVM.
    """

    name: str
    help: str
    load: Callable[[], Rewrite]


@functools.cache
def registered() -> Mapping[str, Algorithm]:
    """Return all algorithms by name, in alphabetical order.

    Raises:
        ValueError: An algorithm is not named as its folder.
    """
    found: dict[str, Algorithm] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            algorithm = importlib.import_module(f"{__name__}.{module.name}").ALGORITHM
            if algorithm.name != module.name:
                raise ValueError(f"the algorithm in {module.name}/ is named {algorithm.name!r}")
            found[module.name] = algorithm
    return dict(sorted(found.items()))
