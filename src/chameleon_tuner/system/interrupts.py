"""Delays Ctrl-C where it would be lost, or would leave results half reported."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Delay the effect of Ctrl-C until the end of the block.

    An exception that is raised in a callback from C is printed and then lost. XGBoost reads its
    data through such callbacks, and threadpoolctl reads the list of libraries through them.
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
