"""The import tried in a worker, which TVM may end; `dying_imports` makes it do so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from chameleon_tuner.app.rehearsing import rehearse
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.backends.tvm.frontend.cutting import EVERYTHING
from chameleon_tuner.backends.tvm.frontend.program import Program
from chameleon_tuner.backends.tvm.rehearsal import MOST_CRASHES, ImportRehearsal
from chameleon_tuner.core.errors import ModelError, TargetError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Failed


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool[object]]:
    entry = HandlerEntry[object]("dying_imports", "Handler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with WorkerPool(entry, 2, {}) as workers:
            yield workers


def chain(folder: Path, operators: Sequence[str], name: str = "model") -> Path:
    """Write a model of operators between matrix products: `a` is MatMul's, `b` the first's, ..."""
    names = [chr(ord("a") + number) for number in range(2 * len(operators))]
    body = "".join(
        f"{product} = MatMul({before}, x) {mine} = {operator}({product}) "
        for operator, before, product, mine in zip(
            operators, ["x", *names[1::2]], names[::2], names[1::2], strict=False
        )
    )
    text = f"g (float[4,4] x) => (float[4,4] z) {{ {body} z = MatMul({names[-1]}, x) }}"
    path = folder / f"{name}.onnx"
    onnx.save(parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}'), path)
    return path


class Counted(ImportRehearsal):
    """Counts its tries, and has the failures."""

    tries = 0

    def request(self) -> object:  # type: ignore[override]
        self.tries += 1
        return super().request()


def rehearsed(path: Path, pool: WorkerPool[object], target: str = "auto") -> Counted:
    from chameleon_tuner.backends.tvm.frontend.reading import read_onnx

    rehearsal = Counted(read_onnx(path), target, [{}])
    rehearse(rehearsal, pool)
    return rehearsal


def program_of(path: Path, rehearsal: ImportRehearsal) -> Program:
    """Return the program that the main process imports, in which TVM dies of nothing."""
    [program] = TVMBackend().read(str(path), rehearsal=rehearsal).programs
    return program


def outside(program: Program) -> list[tuple[str, ...]]:
    return sorted(part.operators for part in program.parts.values())


def test_what_tvm_takes_needs_one_try(tmp_path: Path, pool: WorkerPool[object]) -> None:
    path = chain(tmp_path, ["Relu", "Tanh"])
    rehearsal = rehearsed(path, pool)
    assert rehearsal.outside == [{}]
    assert rehearsal.tries == 2  # the second time there is nothing more to try
    assert program_of(path, rehearsal).parts == {}
    assert pool.size == 2  # as before


def test_what_is_refused_runs_in_onnxruntime(tmp_path: Path, pool: WorkerPool[object]) -> None:
    path = chain(tmp_path, ["Selu", "Relu", "Selu"])
    rehearsal = rehearsed(path, pool)
    reason = "Selu is refused: refused by the test"
    assert rehearsal.outside == [{"b": reason, "f": reason}]
    assert rehearsal.tries == 2
    assert outside(program_of(path, rehearsal)) == [("Selu",), ("Selu",)]


def test_what_ends_the_process_runs_in_onnxruntime(
    tmp_path: Path, pool: WorkerPool[object]
) -> None:
    path = chain(tmp_path, ["Elu", "Relu", "Elu"])
    rehearsal = rehearsed(path, pool)
    [found] = rehearsal.outside
    assert set(found) == {"b", "f"}
    assert all(reason.startswith("TVM ends its process on Elu: ") for reason in found.values())
    assert "SIGABRT" in found["b"]
    assert rehearsal.tries == 4
    assert outside(program_of(path, rehearsal)) == [("Elu",), ("Elu",)]


def test_the_node_that_a_pass_raises_about_is_found(
    tmp_path: Path, pool: WorkerPool[object]
) -> None:
    path = chain(tmp_path, ["Cos", "Relu", "Cos"])
    rehearsal = rehearsed(path, pool)
    reason = "TVM does not lower Cos: cosines are refused"
    assert rehearsal.outside == [{"b": reason, "f": reason}]
    assert rehearsal.tries == 2


def test_the_node_that_a_pass_dies_of_is_found(tmp_path: Path, pool: WorkerPool[object]) -> None:
    """However many there are of its kind."""
    path = chain(tmp_path, ["Sin"] * (MOST_CRASHES + 2))
    rehearsal = rehearsed(path, pool)
    [found] = rehearsal.outside
    assert len(found) == MOST_CRASHES + 2
    assert all(reason.startswith("TVM ends its process on Sin: ") for reason in found.values())
    assert rehearsal.tries == 4  # all nodes at once, then one by one, then without


def test_after_many_crashes_nothing_is_left_to_tvm(
    tmp_path: Path, pool: WorkerPool[object]
) -> None:
    path = chain(tmp_path, ["Elu"] * (MOST_CRASHES + 2))
    rehearsal = rehearsed(path, pool)
    [found] = rehearsal.outside
    assert found[EVERYTHING] == "TVM ends its process on several nodes"
    assert rehearsal.tries == MOST_CRASHES + 3
    program = program_of(path, rehearsal)
    [part] = program.parts.values()
    assert set(part.operators) == {"Elu", "MatMul"}
    x = np.eye(4, dtype=np.float32)
    [wanted] = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    session = onnxruntime.InferenceSession(part.model.SerializeToString())
    [found_there] = session.run(None, {"x": x})
    np.testing.assert_array_equal(found_there, wanted)


def test_what_dies_in_any_case_is_given_up(tmp_path: Path, pool: WorkerPool[object]) -> None:
    path = chain(tmp_path, ["Atan"])
    with pytest.raises(ModelError, match=r"the model cannot be imported: .*SIGABRT"):
        rehearsed(path, pool)


def test_a_model_that_onnxruntime_dies_of_is_refused(
    tmp_path: Path, pool: WorkerPool[object]
) -> None:
    path = chain(tmp_path, ["Relu"], name="poison")
    with pytest.raises(ModelError, match="onnxruntime died while it read the model"):
        rehearsed(path, pool)
    assert pool.size == 2


def test_errors_of_the_user_are_told_at_once(tmp_path: Path, pool: WorkerPool[object]) -> None:
    path = chain(tmp_path, ["Relu"])
    with pytest.raises(TargetError, match="unknown target 'lvm'"):
        rehearsed(path, pool, "lvm")
    broken = onnx.load(path)
    broken.graph.node[0].op_type = "Grizzly"
    onnx.save(broken, path)
    with pytest.raises(ModelError, match="Grizzly"):
        rehearsed(path, pool)


def test_every_variant_of_shapes_is_tried(tmp_path: Path) -> None:
    from chameleon_tuner.backends.tvm.frontend.reading import read_onnx

    file = read_onnx(chain(tmp_path, ["Relu"]))
    rehearsal = ImportRehearsal(file, "auto", [{"x": (4, 4)}, {}])
    failure = Failed(Status.CRASHED, "SIGSEGV", fatal=True)
    tried = []
    while (request := rehearsal.request()) is not None:
        tried.append(dict(request.shapes))
        if len(tried) == 1:
            rehearsal.failed(failure)
        else:
            rehearsal.answered(request.answered_by(None))
    assert tried == [{"x": (4, 4)}, {"x": (4, 4)}, {}]
    assert rehearsal.outside == [{}, {}]
    assert len(rehearsal.prepared) == 2
