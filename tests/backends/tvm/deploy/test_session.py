"""Sessions: the interface of onnxruntime's, with as little loaded and copied as can be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import chameleon_tuner
from chameleon_tuner import Session
from chameleon_tuner.core.errors import LibraryError, UsageError
from chameleon_tuner.testing.made import tiny_network

SHAPE = (1, 3, 64, 64)


@pytest.fixture(scope="module")
def session(tuned_folder: Path) -> Session:
    return Session(tuned_folder)


@pytest.fixture(scope="module")
def original(tiny_onnx: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(tiny_onnx, providers=["CPUExecutionProvider"])


def image(seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def aligned(array: np.ndarray[Any, Any], to: int = 64) -> np.ndarray[Any, Any]:
    """Return a copy that begins at a multiple of so many bytes."""
    memory = np.empty(array.nbytes + to, np.uint8)
    begin = -memory.ctypes.data % to
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def test_it_has_the_interface_of_onnxruntime(
    session: Session, original: onnxruntime.InferenceSession
) -> None:
    for ours, theirs in (
        (session.get_inputs(), original.get_inputs()),
        (session.get_outputs(), original.get_outputs()),
    ):
        described = [(value.name, value.shape, value.type) for value in ours]
        assert described == [(value.name, value.shape, value.type) for value in theirs]
    feed = {"input": image()}
    [expected], [found] = original.run(None, feed), session.run(None, feed)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    [named] = session.run(["output"], feed)
    np.testing.assert_array_equal(named, found)
    assert len(session.run([], feed)) == len(original.run([], feed)) == 1


def test_a_model_that_onnxruntime_runs_is_a_session_too(tmp_path: Path, tiny_onnx: Path) -> None:
    """Where nothing faster was found the folder has no code of ours."""
    chameleon_tuner.tune(tiny_onnx, tmp_path / "tuned", trials=1)
    session = Session(tmp_path / "tuned")
    assert [output.shape for output in session.run(None, {"input": image()})] == [(1, 10)]


def test_wrong_names_say_what_there_is(session: Session) -> None:
    with pytest.raises(LibraryError, match=r"no output 'outptu'; did you mean 'output'\?"):
        session.run(["outptu"], {"input": image()})
    with pytest.raises(LibraryError, match="the model has no input 'x'; its inputs are: input"):
        session.run(None, {"x": image()})
    with pytest.raises(LibraryError, match="input 'input' is missing"):
        session.run(None, {})


def test_inputs_of_every_kind_are_taken(session: Session) -> None:
    import torch

    class OfDlpack:
        """Has DLPack's protocol and nothing else."""

        def __init__(self, array: np.ndarray[Any, Any]) -> None:
            self._array = array

        def __dlpack__(self, **how: Any) -> Any:
            return self._array.__dlpack__(**how)

        def __dlpack_device__(self) -> Any:
            return self._array.__dlpack_device__()

    x = image()
    [expected] = session.run(None, {"input": x})
    readonly = aligned(x)
    readonly.flags.writeable = False
    for given in (
        aligned(x),
        aligned(x, 128)[:],
        readonly,
        np.asfortranarray(x),
        x.astype(np.float64),
        x.tolist(),
        torch.from_numpy(x),
        torch.from_numpy(x).to(memory_format=torch.channels_last),
        OfDlpack(x),
    ):
        [found] = session.run(None, {"input": given})
        np.testing.assert_array_equal(found, expected)


def test_a_call_changes_neither_its_inputs_nor_earlier_outputs(session: Session) -> None:
    first, second = aligned(image(1)), aligned(image(2))
    [one] = session.run(None, {"input": first})
    kept = one.copy()
    [two] = session.run(None, {"input": second})
    assert not np.shares_memory(one, two)
    np.testing.assert_array_equal(one, kept)
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(first, image(1))
    two += 1  # it is the caller's own
    np.testing.assert_array_equal(session.run(None, {"input": first})[0], kept)


@pytest.mark.parametrize("sessions", [1, 4])
def test_several_threads_at_once(sessions: int, tuned_folder: Path) -> None:
    made = [Session(tuned_folder) for _ in range(sessions)]
    inputs = [image(seed) for seed in range(8)]
    expected = [made[0].run(None, {"input": x})[0] for x in inputs]
    begin = threading.Barrier(4)

    def call(number: int) -> bool:
        begin.wait()
        mine = made[number % sessions]
        return all(
            np.array_equal(mine.run(None, {"input": inputs[n % 8]})[0], expected[n % 8])
            for n in range(number, number + 100)
        )

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(call, range(4)))


# -- what is loaded, and how many threads

SCRIPT = """
import os, sys
import numpy as np
import chameleon_tuner

session = chameleon_tuner.Session(sys.argv[1]{arguments})
before = len(os.listdir("/proc/self/task"))
session.run(None, {{"input": np.zeros((1, 3, 64, 64), "float32")}})
heavy = ("tvm", "torch", "onnx", "onnxruntime", "xgboost", "sklearn", "sqlalchemy", "matplotlib")
print([name for name in heavy if name in sys.modules])
print(session.threads)
print(len(os.listdir("/proc/self/task")) - before + 1)
"""


def untold() -> dict[str, str]:
    """Return the environment without a number of threads, which tests before may have set."""
    return {name: value for name, value in os.environ.items() if name != "TVM_NUM_THREADS"}


def ran(folder: Path, arguments: str = "", **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=arguments), folder],
        env={**untold(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_session_loads_nothing_but_the_runtime(tuned_folder: Path) -> None:
    assert ran(tuned_folder)[0] == "[]"


@pytest.mark.parametrize(
    ("arguments", "environment", "threads"),
    [
        (", threads=1", {}, 1),
        (", threads=3", {"TVM_NUM_THREADS": "1"}, 3),
        ("", {"TVM_NUM_THREADS": "1"}, 1),
        ("", {"TVM_NUM_THREADS": "5"}, 5),
        ("", {"TVM_NUM_THREADS": "many"}, None),
    ],
)
def test_the_number_of_threads(
    arguments: str, environment: dict[str, str], threads: int | None, tuned_folder: Path
) -> None:
    tuned_for = Session(tuned_folder)._library.manifest.threads
    _, told, there = ran(tuned_folder, arguments, **environment)
    assert told == there == str(threads or tuned_for)


def test_no_more_threads_than_cores(tuned_folder: Path) -> None:
    alone = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
    done = subprocess.run(
        [sys.executable, "-c", alone + SCRIPT.format(arguments=""), tuned_folder],
        env=untold(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["1", "1"]


def test_no_threads_are_refused(tuned_folder: Path) -> None:
    with pytest.raises(UsageError, match="threads is a number of threads, not 0; use 1 or more"):
        Session(tuned_folder, threads=0)


def test_a_program_with_one_line_changed(tuned_folder: Path, tiny_onnx: Path) -> None:
    program = """
import numpy as np
import {module}
session = {session}
name = session.get_inputs()[0].name
shape = session.get_inputs()[0].shape
x = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
for output, value in zip(session.get_outputs(), session.run(None, {{name: x}})):
    print(output.name, output.type, value.shape, value.argmax())
"""
    said = []
    for module, opened in (
        ("onnxruntime", f"onnxruntime.InferenceSession({str(tiny_onnx)!r})"),
        ("chameleon_tuner", f"chameleon_tuner.Session({str(tuned_folder)!r})"),
    ):
        script = program.format(module=module, session=opened)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
    assert "tensor(float)" in said[0]


def test_the_folder_of_nothing(tmp_path: Path) -> None:
    onnx.save(tiny_network(), tmp_path / "model.onnx")
    with pytest.raises(LibraryError, match="holds no tuned library"):
        Session(tmp_path)
