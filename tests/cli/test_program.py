"""`chameleon program tune`: what it prints, how it fails, and that interrupting it does no harm."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from chameleon_tuner.app.program.options import TRIALS, ProgramOptions
from chameleon_tuner.cli import app
from chameleon_tuner.cli.commands import program as program_module
from chameleon_tuner.search.recipes import RECIPES

Toy = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command with a lock of its own."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words), capture_output=True, text=True, timeout=300, env=variables(tmp_path)
        )

    return run


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "chameleon_tuner", "program", *map(str, words)]


def variables(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary)}


def test_help_says_what_a_specification_is() -> None:
    for words in (["program"], ["program", "tune"]):
        result = CliRunner().invoke(app.chameleon, [*words, "--help"])
        assert result.exit_code == 0
        assert all(len(line) <= 80 for line in result.output.splitlines())
    assert "[parameters]" in result.output


def test_names_and_defaults_in_the_help_are_those_of_the_library() -> None:
    assert program_module.RECIPES.split(", ") == list(RECIPES)
    ours: dict[str | None, Any] = {p.name: p for p in program_module.tune.params}
    assert str(ours["trials"].show_default).startswith(f"{TRIALS};")
    for name in ("seed", "recipe"):
        assert ours[name].default == getattr(ProgramOptions(), name)


def test_a_run_prints_what_it_found(
    run: Callable[..., subprocess.CompletedProcess[str]], toy: Toy, tmp_path: Path
) -> None:
    done = run("tune", toy(), "--out", tmp_path / "out", "--trials", "32")
    assert done.returncode == 0, done.stderr
    [first, parameters, *_] = done.stdout.splitlines()
    assert first.startswith("toy: ")
    assert first.endswith("x as fast")
    assert parameters.startswith("parameters: zeta=")
    assert "32 trials of 120 configurations" in done.stdout
    assert all(line.startswith("[") for line in done.stderr.splitlines())
    quiet = run("tune", toy(), "--out", tmp_path / "out", "--trials", "32", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ["tune", "no.toml", "--out", "OUT"],
            2,
            "no.toml: No such file or directory; give the path",
        ),
        (["tune", "TOY"], 2, "Missing option '--out'"),
        (["tune", "TOY", "--out", "OUT", "--trials", "0"], 2, "0 trials: ask for at least one"),
        (["tune", "TOY", "--out", "OUT", "--recipe", "randm"], 2, "did you mean 'random'"),
        (["tune", "TOY", "--out", "TOY"], 2, "is a file; give --out a folder"),
        (["tun"], 2, "No such command 'tun'"),
    ],
)
def test_errors_are_one_line(
    run: Callable[..., subprocess.CompletedProcess[str]],
    toy: Toy,
    tmp_path: Path,
    words: list[str],
    code: int,
    says: str,
) -> None:
    out = tmp_path / "out"
    places = {"TOY": str(toy()), "OUT": str(out)}
    done = run(*(places.get(word, word) for word in words))
    assert done.returncode == code
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert not out.exists()


# -- interruptions


@contextlib.contextmanager
def tuning(words: list[str], temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in its own process group, which is gone at the end whatever happens."""
    with subprocess.Popen(
        words, stdout=-1, stderr=-1, text=True, start_new_session=True, env=variables(temporary)
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_batch(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "trials (" in line:
            return
    raise AssertionError("".join(said))


def wait_until_sleeping(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until a candidate sleeps, and return all processes of the run."""
    while True:
        family = psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(psutil.Error):
            if any("sleep" in one.name() for one in family):
                return family
        time.sleep(0.01)


def recorded(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(folder / "records.db")) as connection:
        return [
            row[0] for row in connection.execute("SELECT structural_hash FROM record ORDER BY id")
        ]


@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C"])
def test_an_interrupted_run_leaves_nobody_behind_and_goes_on(
    run: Callable[..., subprocess.CompletedProcess[str]], toy: Toy, tmp_path: Path, how: str
) -> None:
    script = "setsid -f sleep 0.3; sleep 0.0{a}{b}; echo 7"
    numbers = list(range(1, 9))
    spec = toy(f"run = '''sh -c \"{script}\"'''\n[parameters]\na = {numbers}\nb = {numbers}\n")
    out = tmp_path / "out"
    words = ["tune", spec, "--out", out, "--trials", "24"]
    with tuning(command(*words), tmp_path) as process:
        wait_for_batch(process)
        family = wait_until_sleeping(process)
        if how == "kill -9":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130
            assert "the same command goes on from there" in err.splitlines()[-1]
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
    before = recorded(out)
    assert len(before) >= 16
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert f"24 trials ({len(before)} of them in an earlier run)" in done.stdout
    after = recorded(out)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == 24
    assert not (out / "candidates").exists()
