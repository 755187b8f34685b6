"""Notes of what a process is doing, for whoever finds it dead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Notes:
    """A file that says what is being done right now.

    Attributes:
        path: The file.
    """

    path: Path

    def write(self, **doing: Any) -> None:
        """Replace the notes by other ones.

        Args:
            **doing: Values of JSON by name; nothing where nothing is being done.
        """
        self.path.write_text(json.dumps(doing))

    def read(self) -> Mapping[str, Any]:
        """Return the notes; nothing if there are none, or if the writer died while it wrote."""
        try:
            found = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
