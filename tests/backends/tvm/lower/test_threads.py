"""The threads of libraries: every piece runs once, whoever runs it, and failures are told."""

from __future__ import annotations

import ctypes
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch
from chameleon_tuner.backends.tvm.lower.threads import compile_threads

THREADS = 3
PIECES = 16 * THREADS

BODY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p)

Launch = Callable[[Callable[[int], int], int], int]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as a library of its own."""
    folder = tmp_path_factory.mktemp("threads")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TVM_NUM_THREADS", raising=False)
        compile_threads(folder / "threads.o", THREADS)
    made = folder / "threads.so"
    subprocess.run(["c++", "-shared", folder / "threads.o", "-o", made], check=True)
    return made


@pytest.fixture(scope="module")
def launch(library: Path) -> Launch:
    """Runs pieces of a loop; their number is given, or is decided by the library."""
    code = ctypes.CDLL(str(library))

    def run(piece: Callable[[int], int], asked: int = 0) -> int:
        body = BODY(lambda number, env, data: piece(number))
        return int(code.chameleon_parallel_launch(body, None, asked))

    return run


@pytest.fixture(autouse=True)
def usual_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TVM_NUM_THREADS", raising=False)


@pytest.mark.parametrize("asked", [0, 1, 2, 5, 1000])
def test_every_piece_runs_once(launch: Launch, asked: int) -> None:
    for _ in range(50):
        seen: list[int] = []

        def piece(number: int, seen: list[int] = seen) -> int:
            seen.append(number)
            return 0

        assert launch(piece, asked) == 0
        assert sorted(seen) == list(range(asked or PIECES))


def test_all_threads_take_pieces_and_a_late_one_loses_its_own(launch: Launch) -> None:
    taken: Counter[int] = Counter()
    late: list[int] = []

    def piece(number: int) -> int:
        me = threading.get_ident()
        taken[me] += 1
        if not late and me != threading.main_thread().ident:
            late.append(me)
            time.sleep(0.5)  # as a thread does whose core runs something else
        else:
            time.sleep(0.005)
        return 0

    begin = time.perf_counter()
    assert launch(piece, 0) == 0
    assert sum(taken.values()) == PIECES
    assert len(taken) == THREADS
    assert taken[late[0]] < PIECES // THREADS  # the others took the rest meanwhile
    assert time.perf_counter() - begin < 30


def test_threads_of_the_program_have_pools_of_their_own(launch: Launch) -> None:
    def many(seed: int) -> bool:
        for asked in np.random.default_rng(seed).choice([0, 3, 40], 40).tolist():
            seen = Counter[int]()

            def piece(number: int, seen: Counter[int] = seen) -> int:
                seen[number] += 1
                return 0

            if launch(piece, asked) or seen != Counter(range(asked or PIECES)):
                return False
        return True

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(many, range(8)))


def test_a_loop_within_a_piece_runs_in_its_thread(launch: Launch) -> None:
    where: list[tuple[int, int]] = []

    def piece(number: int) -> int:
        outer = threading.get_ident()

        def inner(_: int) -> int:
            where.append((outer, threading.get_ident()))
            return 0

        return launch(inner, 0)

    assert launch(piece, 0) == 0
    assert len(where) == PIECES**2
    assert all(outer == inner for outer, inner in where)


def test_a_failure_is_told_by_the_thread_that_launched(launch: Launch) -> None:
    told: list[int] = []

    def piece(number: int) -> int:
        if number != PIECES - 1:
            return 0
        told.append(threading.get_ident())
        return 7

    assert launch(piece, 0) == 7
    assert told[-1] == threading.get_ident()
    assert launch(lambda _: 0, 0) == 0


def test_a_piece_that_failed_once_is_never_a_success(launch: Launch) -> None:
    tried: Counter[int] = Counter()

    def piece(number: int) -> int:
        tried[number] += 1
        return 7 if number == 3 and tried[number] == 1 else 0

    assert launch(piece, 0) == -1


THROWING = """
#include <atomic>
#include <stdexcept>
struct Env { void* sync; int pieces; };
extern "C" int chameleon_parallel_launch(int (*)(int, Env*, void*), void*, int);
std::atomic<int> ran{0};
int body(int piece, Env*, void*) {
  ++ran;
  if (piece % 5 == 0) throw std::runtime_error("no memory");
  return 0;
}
int main() {
  for (int i = 0; i < 200; ++i) {
    ran = 0;
    if (chameleon_parallel_launch(body, nullptr, 0) != -1) return 1;
    if (ran != 49) return 2;  // every piece, and one of those that failed again
  }
}
"""


@pytest.mark.parametrize("limit", ["", "ulimit -v 14000; "], ids=["", "without threads"])
def test_what_throws_fails(limit: str, library: Path, tmp_path: Path) -> None:
    (tmp_path / "main.cc").write_text(THROWING)
    sources = [tmp_path / "main.cc", library.with_suffix(".o")]
    subprocess.run(["c++", "-std=c++17", "-pthread", *sources, "-o", tmp_path / "main"], check=True)
    command = ["sh", "-c", f"{limit}exec {tmp_path / 'main'}"]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_a_thread_says_how_many_run_its_loops(library: Path, launch: Launch) -> None:
    code = ctypes.CDLL(str(library))

    def pieces() -> int:
        counted: list[int] = []
        assert launch(lambda number: counted.append(number) or 0) == 0
        return len(counted)

    def other_thread() -> int:
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(pieces).result()

    try:
        for wanted, expected in ((1, 1), (2, 32), (5, 80), (0, PIECES)):
            code.chameleon_use_threads(wanted)
            assert (pieces(), other_thread()) == (expected, PIECES)
    finally:
        code.chameleon_use_threads(0)


def test_a_compiler_that_is_missing_or_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="none does not run"):
        compile_threads(tmp_path / "threads.o", 2)
    monkeypatch.setenv("CXX", "c++")
    with pytest.raises(RuntimeError, match=r"c\+\+ failed"):
        compile_threads(tmp_path / "no folder" / "threads.o", 2)
