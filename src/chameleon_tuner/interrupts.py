"""Ctrl-C held back where it would be lost, or would leave things half told."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block.

    What is raised in a callback from C is printed and forgotten. XGBoost takes its data by such
    callbacks, and threadpoolctl the list of libraries.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[Any, ...]] = []
    before = signal.signal(signal.SIGINT, lambda *event: caught.append(event))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught and callable(before):
            before(*caught[0])
