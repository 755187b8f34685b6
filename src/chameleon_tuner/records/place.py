"""Where records are: a file or a database URL, and what can be told before opening it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from chameleon_tuner.errors import RecordsError

_SMALLEST_PAGE_BYTES = 512


@dataclass(frozen=True)
class Place:
    """A resolved place.

    Attributes:
        name: what messages call it; without a password.
        url: what SQLAlchemy connects to.
        path: the SQLite file; None for a server and for a database in memory.
    """

    name: str
    url: URL
    path: Path | None

    def check_file(self) -> None:
        """Raises RecordsError for what SQLite would take for a new database, or wait for.

        Only looks at the file's status: opening and closing a file drops the locks that SQLite
        has on it elsewhere in this process.
        """
        try:
            special = self.path is not None and self.path.exists() and not self.path.is_file()
            size = self._size()
        except OSError as error:
            raise RecordsError(f"{self.name} cannot be opened ({error}); choose another") from error
        if special:
            raise RecordsError(f"{self.name} is not a file; name one, such as records.db in it")
        if 0 < size < _SMALLEST_PAGE_BYTES:
            raise RecordsError(
                f"{self.name} is not a records file; name another one, or move it away"
            )

    def check_pages(self, page_bytes: int) -> None:
        """Raises RecordsError where the file's last page is cut, which SQLite would fill up."""
        in_flight = self._size("-wal")  # pages on their way from the log to the file
        if self._size() % page_bytes and not in_flight:
            raise RecordsError(
                f"{self.name} is damaged (its end is missing); "
                "put a copy back, or move it away to start anew"
            )

    def _size(self, suffix: str = "") -> int:
        path = Path(f"{self.path}{suffix}")
        return path.stat().st_size if self.path and path.exists() else 0


def resolve(place: str | Path) -> Place:
    """The place a path or a URL stands for; raises RecordsError where it can be none."""
    if not isinstance(place, str) or "://" not in place:
        path = _real(str(place), Path(place))
        return Place(str(place), URL.create("sqlite", database=str(path)), path)
    url = _parse(place)
    name = url.render_as_string(hide_password=True)
    file = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or file.startswith((":memory:", "file:")):
        return Place(name, url, None)
    path = _real(name, Path(file))
    return Place(name, url.set(database=str(path)), path)


def _parse(address: str) -> URL:
    try:
        return make_url(address)
    except (ArgumentError, ValueError) as error:
        # Without the rest of it, which may hold a password.
        scheme = address.partition("://")[0]
        raise RecordsError(
            f"{scheme}://... is no address of a database; "
            "write it as postgresql+psycopg://user@host/name, or name a file"
        ) from error


def _real(name: str, path: Path) -> Path:
    """One path for a file, however it is named: whoever uses it has to claim the same."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise RecordsError(f"{name} is no path ({error}); choose another") from error
