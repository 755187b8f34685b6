"""Where a worker process finds its handler; quick to import."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

HandlerT = TypeVar("HandlerT", covariant=True)


@dataclass(frozen=True)
class HandlerEntry(Generic[HandlerT]):
    """Where a worker process finds its handler.

    Attributes:
        module: Module to import, once for all workers.
        attribute: Callable in it that takes no arguments and returns a new handler.
    """

    module: str
    attribute: str

    def factory(self) -> Callable[[], HandlerT]:
        """Import the module and return the callable that makes a handler."""
        factory: Callable[[], HandlerT] = getattr(
            importlib.import_module(self.module), self.attribute
        )
        return factory

    def load(self) -> HandlerT:
        """Import the module and make a handler."""
        return self.factory()()
