from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from chameleon_tuner.cli import app, failures, main
from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.core.errors import MeasurementError, ModelError, NothingMeasuredError


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (ModelError("x is\n no model"), "error: x is no model", 2),
        (NothingMeasuredError("nothing"), "error: nothing", 3),
        (failures.StoppedError("interrupted; go on"), "interrupted; go on", 130),
        (KeyboardInterrupt(), "interrupted", 130),
        (OSError(errno.ENOSPC, "No space left", "out/x"), "error: out/x: No space left", 2),
        (PermissionError(errno.EACCES, "Permission denied", "o"), "error: o: Permission denied", 2),
        (click.UsageError("no."), "error: no", 2),
    ],
)
def test_a_failure_is_one_line_and_a_code(error: BaseException, line: str, code: int) -> None:
    assert failures.of(error) == failures.Failure(line, code)


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EBADF, "ours")])
def test_our_own_faults_keep_their_traceback(error: BaseException) -> None:
    assert failures.of(error) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tnue"], "Did you mean 'tune'?; see `chameleon --help`"),
        (["tune", "m.onnx", "--out", "o", "--trails", "3"], "'--trials'"),
        (["tune", "m.onnx"], "Missing option '--out'; see `chameleon tune --help`"),
        (["tune"], "Missing argument 'MODEL'"),
        (["tune", "m.onnx", "--out", "o", "--trials", "many"], "'many' is not a valid integer"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert (captured.err.count("\n"), captured.out) == (1, "")


def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(app.DEBUG, "1")
    with pytest.raises(click.UsageError):
        main(["tune"])


def test_a_reader_that_leaves_is_no_error() -> None:
    """As in `chameleon --help | true`."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as broken:
        command = [sys.executable, "-m", "chameleon_tuner", "--help"]
        done = subprocess.run(command, stdout=broken, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (failures.BROKEN_PIPE, "")


class TestNativeMessages:
    def test_are_kept_off_the_terminal(self, capfd: pytest.CaptureFixture[str]) -> None:
        with NativeMessages() as messages:
            os.write(2, b"a warning of native code\n")
            print("of Python", file=messages.terminal)
        os.write(2, b"later\n")
        assert capfd.readouterr().err == "of Python\nlater\n"

    def test_are_kept_in_the_log(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        log = tmp_path / "log.txt"
        log.write_text("of an earlier run\n")
        with NativeMessages() as messages:
            os.write(2, b"before\n")
            child = subprocess.Popen(["sh", "-c", "read line; echo of a child >&2"], stdin=-1)
            messages.keep_in(log)
            os.write(2, b"after\n")
            child.communicate(b"\n")
        assert log.read_text() == "of an earlier run\nbefore\nafter\nof a child\n"
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("error", [ZeroDivisionError, MeasurementError])
    def test_are_shown_with_an_error_of_ours(
        self, error: type[Exception], capfd: pytest.CaptureFixture[str]
    ) -> None:
        def crash() -> None:
            with NativeMessages():
                os.write(2, b"the cause\n")
                raise error

        with pytest.raises(error):
            crash()
        assert "the cause" in capfd.readouterr().err

    @pytest.mark.parametrize("error", [ModelError, failures.StoppedError, KeyboardInterrupt])
    def test_are_not_shown_with_an_error_of_the_user(
        self, error: type[BaseException], capfd: pytest.CaptureFixture[str]
    ) -> None:
        def fail() -> None:
            with NativeMessages():
                os.write(2, b"noise\n")
                raise error

        with pytest.raises(error):
            fail()
        assert capfd.readouterr().err == ""

    def test_a_log_that_cannot_be_written_does_no_harm(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with NativeMessages() as messages:
            messages.keep_in(tmp_path / "no folder" / "log.txt")
            os.write(2, b"a warning\n")
        assert capfd.readouterr().err == ""

    def test_a_closed_standard_error_does_no_harm(self) -> None:
        script = "from chameleon_tuner.cli.native import NativeMessages as N\nwith N(): print(1)"
        command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "1\n")


def test_ctrl_c_while_a_class_is_being_made_is_no_fault_of_ours() -> None:
    """Up to Python 3.11 it comes as the cause of something else."""

    class Interrupting:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises((RuntimeError, KeyboardInterrupt)) as caught:
        type("Made", (), {"part": Interrupting()})
    failure = failures.of(caught.value)
    assert failure is not None
    assert (failure.line, failure.code) == ("interrupted", failures.INTERRUPTED)
