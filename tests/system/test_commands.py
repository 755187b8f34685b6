"""Commands are timed and limited, and nothing that they start outlives them or their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chameleon_tuner.system.commands import Command, Ended, Guard, NotStartedError

Run = Callable[..., Ended]


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture
def run(guard: Guard, tmp_path: Path) -> Run:
    def run(*words: str, limit_secs: float = 20.0, **options: object) -> Ended:
        variables = {**os.environ, "GREETING": "hello"}
        out, err = tmp_path / "out", tmp_path / "err"
        return guard.run(Command(words, tmp_path, variables, out, err, limit_secs, **options))  # type: ignore[arg-type]

    return run


def shell(script: str) -> tuple[str, str, str]:
    return "sh", "-c", script


def gone(name: str) -> bool:
    """Whether no process with a word of this name is left, soon."""
    for _ in range(100):
        if not any(name in (p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])):
            return True
        time.sleep(0.02)
    return False


def test_a_command_runs_in_its_folder_with_its_variables(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file")
    ended = run(*shell("pwd; echo $GREETING; cat; echo oops >&2; exit 3"), stdin=tmp_path / "in")
    assert (ended.code, ended.late) == (3, False)
    assert (tmp_path / "out").read_text() == f"{tmp_path}\nhello\nfrom a file"
    assert (tmp_path / "err").read_text() == "oops\n"


def test_the_wall_clock_is_that_of_the_command(run: Run) -> None:
    assert 0.2 <= run("sleep", "0.2").secs < 2
    assert run("true").secs < 0.2


def test_a_signal_is_told(run: Run) -> None:
    assert run(*shell("kill -SEGV $$")).code == -signal.SIGSEGV


def test_files_do_not_grow_without_end(run: Run, tmp_path: Path) -> None:
    ended = run("head", "-c", "5000", "/dev/zero", file_bytes=1000)
    assert ended.code == -signal.SIGXFSZ
    assert (tmp_path / "out").stat().st_size == 1000
    assert run("head", "-c", "5000", "/dev/zero").code == 0


@pytest.mark.parametrize("words", [("no-such-program",), ("/etc/passwd",), ("a\0b",)])
def test_what_cannot_be_started_is_an_error_and_the_next_one_runs(
    run: Run, words: tuple[str]
) -> None:
    with pytest.raises(NotStartedError, match=words[0].partition("\0")[0]):
        run(*words)
    assert run("true").code == 0


@pytest.mark.parametrize(
    "script",
    [
        "sleep 4{0}",
        "sleep 4{0} & sleep 4{0}",
        "trap '' TERM INT; setsid sleep 4{0} & setsid -f sleep 4{0}; sleep 4{0}",
    ],
)
def test_a_late_command_dies_with_everything_it_started(run: Run, script: str) -> None:
    name = f"4{os.getpid()}1"
    begin = time.monotonic()
    ended = run(*shell(script.format(name[1:])), limit_secs=0.3)
    assert ended.late
    assert time.monotonic() - begin < 5
    assert gone(name)


def test_what_a_command_leaves_behind_is_killed_when_it_ends(run: Run) -> None:
    name = f"4{os.getpid()}2"
    ended = run(*shell(f"sleep {name} & setsid -f sleep {name}; echo done"))
    assert (ended.code, ended.late) == (0, False)
    assert gone(name)


def test_a_guard_that_is_killed_is_replaced(run: Run, guard: Guard) -> None:
    before = set(psutil.Process().children())  # of other tests in this process
    run("true")
    [child] = set(psutil.Process().children()) - before
    child.kill()
    with pytest.raises(NotStartedError):
        run("true")
    assert run("true").code == 0


PARENT = """
import os, sys
from pathlib import Path
from chameleon_tuner.system.commands import Command, Guard

here = Path(sys.argv[1])
script = f"setsid -f sleep {sys.argv[2]}; sleep {sys.argv[2]} & echo; sleep {sys.argv[2]}"
print("ready", flush=True)
Guard().run(Command(["sh", "-c", script], here, dict(os.environ), here / "o", here / "e", 600))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    name = f"4{os.getpid()}{number + 10}"
    command = [sys.executable, "-c", PARENT, str(tmp_path), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        while not (tmp_path / "o").exists() or not (tmp_path / "o").read_bytes():
            time.sleep(0.01)
        parent.send_signal(number)
    assert gone(name)


def test_a_guard_that_nobody_refers_to_ends(tmp_path: Path) -> None:
    before = set(psutil.Process().children())  # of other tests in this process
    guard = Guard()
    guard.run(Command(["true"], tmp_path, {}, tmp_path / "o", tmp_path / "e", 5))
    [child] = set(psutil.Process().children()) - before
    del guard
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()
