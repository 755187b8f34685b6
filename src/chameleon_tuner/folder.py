"""The output folder: made, recognised, never written over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chameleon_tuner.errors import OutputError
from chameleon_tuner.model_file import require_file
from chameleon_tuner.records import RecordStore

RECORDS = "records.db"


def check_folder(folder: Path, digest: str) -> None:
    """Make sure that a run of a model may write into a folder, without changing anything.

    Args:
        folder: may not exist yet.
        digest: of the model; see `chameleon_tuner.tvm.frontend.Program`.

    Raises:
        OutputError: it holds something else.
        RecordsError: its records cannot be read.
    """
    if not folder.exists():
        return
    records = folder / RECORDS
    if records.exists() and records.stat().st_size:
        with RecordStore.open(records) as store:
            others = [run for run in store.runs() if run.info.model != digest]
        if others:
            raise OutputError(
                f"{folder} holds the run of a different model (or of other shapes); "
                "give another --out"
            )
    elif any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and holds no run; give another --out")


def check_places(model: Any, folder: Path) -> None:
    """What can be known of the model's file and the folder at once, before anything is loaded.

    Raises:
        ModelError: the model is a path where no file is.
        OutputError: the folder is a file.
    """
    if isinstance(model, str | Path):
        require_file(model)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give --out a folder")


def make_folder(folder: Path) -> None:
    """Make the folder.

    Raises:
        OutputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from None
