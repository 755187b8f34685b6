"""ONNX's own tests of single operators, run through Chameleon's ONNX backend and onnxruntime.

    python benchmarks/node_tests.py --jobs 2
    python benchmarks/node_tests.py --no-fallback --write tests/failing_node_tests.json

Every test runs in a process that is replaced when it dies. The counts are printed, and the names of
the tests that fail, by reason. With `--no-fallback` nothing is left to onnxruntime.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import click
import numpy as np
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner, _normalize_tensor

from chameleon_tuner.onnx_backend import ChameleonBackend

TIMEOUT_SECS = 120.0
RENEWED_AFTER = 150
"""Tests after which a process is replaced: what is compiled stays in its memory."""

REASONS = {
    "holds strings": "strings",
    "is no tensor": "sequences and optionals",
    "no elements of a sequence": "sequences and optionals",
    "shape depends on the data": "the shape of an output depends on the data",
    "at random": "random numbers",
    "RandomUniform": "random numbers",
    "of the domain": "operators of other domains",
    "not implemented": "operators without a converter",
    "its mode is not the average": "operators without a converter",
    "OptionalHasElement": "sequences and optionals",
    "SplitToSequence": "sequences and optionals",
    "Not equal to tolerance": "rounding: other than the reference's, beyond the tolerance",
}
"""What is written of an error, by a part of its message."""


def reason_of(message: str) -> str:
    """Return the kind of an error."""
    return next((text for part, text in REASONS.items() if part in message), message[:150])


def node_tests() -> dict[str, Any]:
    """Return the tests by name, in the order of names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tests overflow on purpose
        return {test.name: test for test in sorted(load_model_tests(kind="node"), key=_name)}


def _name(test: Any) -> str:
    return str(test.name)


def outcome(test: Any, run: Any) -> str:
    """Return why a test fails; an empty text if it passes."""
    try:
        for inputs, wanted in test.data_sets:
            found = run(test.model, [_normalize_tensor(value) for value in inputs])
            wanted = [_normalize_tensor(value) for value in wanted]
            Runner.assert_similar_outputs(wanted, found, test.rtol, test.atol)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0] if lines else ''}"
    return ""


def by_onnxruntime(model: Any, inputs: Sequence[Any]) -> list[Any]:
    """Run a model in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]
    outputs: list[Any] = session.run(None, dict(zip(names, inputs, strict=True)))
    return outputs


class Pool:
    """Processes that run tests, one at a time each."""

    def __init__(self, tests: dict[str, Any], jobs: int, fallback: bool) -> None:
        self._tests, self._jobs, self._fallback = tests, jobs, fallback
        self._context = multiprocessing.get_context("fork")  # the tests take 15 s to make

    def results(self) -> Iterator[tuple[str, str, str]]:
        """Yield names, why they fail in Chameleon, and why in onnxruntime."""
        waiting = list(reversed(self._tests))
        workers = [_Worker(self) for _ in range(self._jobs)]
        while True:
            for worker in workers:
                if worker.name is None and waiting:
                    worker.begin(waiting.pop())
            busy = [worker for worker in workers if worker.name is not None]
            if not busy:
                break
            wait([worker.pipe for worker in busy], timeout=1)
            for worker in busy:
                found = worker.result()
                if found is not None:
                    yield found
        for worker in workers:
            worker.end()

    def process(self) -> tuple[Any, Connection]:
        """Start a process and return it with its pipe."""
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=self._serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, mine

    def _serve(self, pipe: Connection) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        warnings.simplefilter("ignore")
        while True:
            test = self._tests[pipe.recv()]
            pipe.send((outcome(test, self._by_chameleon), outcome(test, by_onnxruntime)))

    def _by_chameleon(self, model: Any, inputs: list[np.ndarray]) -> Any:
        return ChameleonBackend.prepare(model, fallback=self._fallback).run(inputs)


class _Worker:
    """A process and what it is doing."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._done = pool, 0
        self._process, self.pipe = pool.process()
        self.name: str | None = None
        self._begun = 0.0

    def begin(self, name: str) -> None:
        self.name, self._begun = name, time.monotonic()
        self.pipe.send(name)

    def result(self) -> tuple[str, str, str] | None:
        name = self.name or ""
        if self.pipe.poll():
            try:
                mine, theirs = self.pipe.recv()
            except EOFError:
                mine, theirs = "it kills the process", "unknown"
        elif time.monotonic() - self._begun > TIMEOUT_SECS:
            mine, theirs = f"it takes more than {TIMEOUT_SECS:.0f} s", "unknown"
        else:
            return None
        self.name, self._done = None, self._done + 1
        if self._done == RENEWED_AFTER or "unknown" in theirs:
            self.end()
            self.__init__(self._pool)  # type: ignore[misc]
        return name, mine, theirs

    def end(self) -> None:
        self._process.kill()
        self._process.join()


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--no-fallback", is_flag=True, help="Leave nothing to onnxruntime.")
@click.option("--jobs", default=2, help="Number of processes.")
@click.option("--write", type=click.Path(path_type=Path), help="JSON file for failing tests.")
def main(parts: tuple[str, ...], no_fallback: bool, jobs: int, write: Path | None) -> None:
    """Run the tests whose names contain one of PARTS, or all."""
    tests = node_tests()
    if parts:
        tests = {n: test for n, test in tests.items() if any(part in n for part in parts)}
    failing: dict[str, list[str]] = defaultdict(list)
    theirs = both = 0
    for name, mine, other in Pool(tests, jobs, not no_fallback).results():
        theirs += not other
        both += not mine and not other
        if mine:
            failing[reason_of(mine)].append(name)
    failed = sum(map(len, failing.values()))
    print(f"{len(tests) - failed} of {len(tests)} tests pass, {theirs} in onnxruntime, {both} both")
    for reason, names in sorted(failing.items(), key=lambda item: -len(item[1])):
        print(f"\n{reason} ({len(names)}):")
        print("  " + " ".join(sorted(name.removeprefix("test_") for name in names)))
    if write is not None:
        found = {reason: sorted(names) for reason, names in sorted(failing.items())}
        write.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
