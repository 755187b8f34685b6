"""The location of records, a file or a database URL, and checks of it before it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from chameleon_tuner.core.errors import RecordsError

_SMALLEST_PAGE_BYTES = 512
"""The smallest page of an SQLite database; a smaller file that is not empty is no database."""


@dataclass(frozen=True)
class Place:
    """The resolved location of records.

    Attributes:
        name: Name of the location in messages; it contains no password.
        url: URL that SQLAlchemy connects to.
        path: The SQLite file; None for a database server and for a database in memory.
    """

    name: str
    url: URL
    path: Path | None

    def check_file(self) -> None:
        """Raise a `RecordsError` if the path cannot be a database file.

        SQLite itself would take a very short file for a new database, and would wait for a special
        file. Only the file's status is read: opening and closing a file would drop the locks that
        SQLite holds on it elsewhere in this process.
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
        """Raise a `RecordsError` if the file's last page is cut off, which SQLite would pad."""
        in_flight = self._size("-wal")  # SQLite may still be copying pages from the log to the file
        if self._size() % page_bytes and not in_flight:
            raise RecordsError(
                f"{self.name} is damaged (its end is missing); "
                "put a copy back, or move it away to start anew"
            )

    def _size(self, suffix: str = "") -> int:
        path = Path(f"{self.path}{suffix}")
        return path.stat().st_size if self.path and path.exists() else 0


def resolve(place: str | Path) -> Place:
    """Return the place that a path or a URL stands for.

    Raises:
        RecordsError: If it is neither a possible path nor the URL of a database.
    """
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
        # The rest of the address is left out, because it may contain a password.
        scheme = address.partition("://")[0]
        raise RecordsError(
            f"{scheme}://... is no address of a database; "
            "write it as postgresql+psycopg://user@host/name, or name a file"
        ) from error


def _real(name: str, path: Path) -> Path:
    """Return the one resolved path of a file, so that all its users claim the same lock file."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise RecordsError(f"{name} is no path ({error}); choose another") from error
