"""The records of a run as a database of TVM's own tuner."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm import relax, te
from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.relax_integration import compile_relax
from tvm.target import Target

from chameleon_tuner import ChameleonDatabase
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.backends.tvm.database import RecordsDatabase
from chameleon_tuner.backends.tvm.lower.graph import fuse, key_of, lay_out, normalized
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.records import RecordStore
from chameleon_tuner.report.result import Result, TaskResult


@pytest.fixture(scope="module")
def result(tuned_folder: Path) -> Result:
    return Result.read(tuned_folder)


@pytest.fixture(scope="module")
def target(result: Result) -> Target:
    return Target(dict(result.target))


@pytest.fixture(scope="module")
def lowered(tiny_onnx: Path, target: Target) -> IRModule:
    module = TVMBackend().read(tiny_onnx).programs[0].module
    return fuse(lay_out(module, target), target)


@pytest.fixture(scope="module")
def measured(tuned_folder: Path) -> dict[str, list[float]]:
    """Seconds of the candidates that ran, by workload."""
    with RecordStore.open(tuned_folder / "records.db", upgrade=False) as store:
        [environment] = store.environments()
        return {
            workload.hash: [
                outcome.seconds
                for outcome in store.outcomes(workload, environment)
                if outcome.status is Status.OK
            ]
            for workload in store.workloads()
        }


def kernels(module: IRModule) -> dict[str, Any]:
    """Return the kernels of a module by name."""
    return {
        str(variable.name_hint): function
        for variable, function in module.functions.items()
        if isinstance(function, tvm.tirx.PrimFunc)
    }


def applied(database: Any, module: IRModule, target: Target) -> dict[str, Any]:
    with target, database:
        return kernels(relax.transform.MetaScheduleApplyDatabase()(module))


def is_scheduled(function: Any) -> bool:
    return bool((function.attrs or {}).get("tirx.is_scheduled"))


def same(function: Any, other: Any) -> bool:
    """Return whether two functions compute the same in the same way, whatever they are called."""
    bodies = (IRModule({"main": plain(one)}) for one in (function, other))
    return len(set(map(key_of, bodies))) == 1


def plain(function: Any) -> Any:
    for name in list(function.attrs.keys() if function.attrs else ()):
        function = function.without_attr(name)
    return function


def winner_of(result: Result, key: str) -> TaskResult | None:
    """Return the task of a kernel that a candidate of its own workload has won."""
    won = (task for task in result.tasks if task.configuration and task.workloads[0] == key)
    return next(won, None)


def test_the_module_has_the_schedules_of_the_records(
    tuned_folder: Path,
    result: Result,
    target: Target,
    lowered: IRModule,
    measured: dict[str, list[float]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        functions = applied(ChameleonDatabase(tuned_folder), lowered, target)
    won = 0
    for name, function in kernels(lowered).items():
        key = key_of(normalized(function))
        assert is_scheduled(functions[name]) == bool(measured.get(key))
        task = winner_of(result, key)
        if task is not None:
            won += 1
            space = TracedSpace(normalized(function), target)
            expected = space.replay(Configuration.from_json(dict(task.configuration or {})))
            assert same(functions[name], expected.schedule.mod["main"])
            assert not same(functions[name], function)
    assert won > 1
    assert not caplog.messages


def test_its_records_have_the_times_of_the_run(
    tuned_folder: Path,
    result: Result,
    target: Target,
    lowered: IRModule,
    measured: dict[str, list[float]],
) -> None:
    database = ChameleonDatabase(tuned_folder)
    assert (
        len(database) == sum(map(len, measured.values())) == len(database.get_all_tuning_records())
    )
    for function in kernels(lowered).values():
        module = normalized(function)
        key = key_of(module)
        assert database.has_workload(module) == bool(measured.get(key))
        record = database.query_tuning_record(module, target, "main")
        if not measured.get(key):
            assert record is None
            continue
        task, secs = winner_of(result, key), float(record.run_secs[0])
        if task is not None:
            assert secs == pytest.approx(task.best_us / 1e6)
        workload = database.commit_workload(module)
        top = database.get_top_k(workload, 99)
        assert len(top) == len(measured[key])
        assert float(top[0].run_secs[0]) == secs
        assert database.get_top_k(workload, 0) == []


def test_tvm_compiles_with_them_and_computes_the_same(
    tuned_folder: Path,
    tiny_onnx: Path,
    target: Target,
    lowered: IRModule,
    measured: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    found = set[str]()
    monkeypatch.setattr(RecordsDatabase._cls, "left", lambda self: found.update(self._asked.found))
    executable = compile_relax(ChameleonDatabase(tuned_folder), lowered, target, None)
    known = {key_of(normalized(function)) for function in kernels(lowered).values()}
    assert len(found) == sum(bool(measured.get(key)) for key in known) > 1
    x = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    machine = relax.VirtualMachine(executable, tvm.cpu())
    [expected] = onnxruntime.InferenceSession(tiny_onnx).run(None, {"input": x})
    output = machine["main"](tvm.runtime.tensor(x))
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-3, atol=1e-4)


# -- what matches nothing is said


def other_module() -> IRModule:
    """Return a network of one kernel that nobody has tuned."""
    a = te.placeholder((17, 19), name="a")
    b = te.compute((17, 19), lambda i, j: a[i, j] * 3.0, name="b")
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((17, 19), "float32"))
    with builder.function("main", [x]):
        function = te.create_prim_func([a, b])
        called = builder.add_func(function, "triple")
        y = builder.emit(relax.call_tir(called, [x], relax.TensorType((17, 19), "float32")))
        builder.emit_func_output(y)
    return builder.get()


def test_a_module_of_other_kernels_gets_a_warning(
    tuned_folder: Path, target: Target, lowered: IRModule, caplog: pytest.LogCaptureFixture
) -> None:
    database = ChameleonDatabase(tuned_folder)
    with caplog.at_level(logging.WARNING):
        functions = applied(database, other_module(), target)
        assert not any(map(is_scheduled, functions.values()))
        [message] = caplog.messages
        assert message.startswith(f"no record of {tuned_folder} is used: none of 1 kernels is in")
        assert "`lay_out` and `fuse` of chameleon_tuner.backends.tvm.lower.graph" in message
        applied(database, lowered, target)  # here some are
        with database:
            pass  # nothing is asked for
        assert len(caplog.messages) == 1


def test_what_was_tuned_for_another_target_is_not_served(
    tuned_folder: Path, result: Result, lowered: IRModule, caplog: pytest.LogCaptureFixture
) -> None:
    other = Target({**result.target, "num-cores": 99})
    with caplog.at_level(logging.WARNING):
        functions = applied(ChameleonDatabase(tuned_folder), lowered, other)
    assert not any(map(is_scheduled, functions.values()))
    [message] = caplog.messages
    assert '"num-cores": 99' in message
    assert f"compile for {json.dumps(dict(result.target), sort_keys=True)}" in message


# -- what TVM commits


def test_what_is_committed_is_kept_in_memory_and_wins_where_it_is_faster(
    tuned_folder: Path, target: Target, lowered: IRModule, measured: dict[str, list[float]]
) -> None:
    before = (tuned_folder / "records.db").read_bytes()
    database = ChameleonDatabase(tuned_folder)
    tuned = (normalized(function) for function in kernels(lowered).values())
    module = next(one for one in tuned if measured.get(key_of(one)))
    count, workload = len(database), database.commit_workload(module)
    [best] = database.get_top_k(workload, 1)

    def committed(secs: float, for_target: Target) -> None:
        record = meta_schedule.database.TuningRecord(
            best.trace, workload, [secs], for_target, best.args_info
        )
        database.commit_tuning_record(record)

    def found() -> float:
        return float(database.query_tuning_record(module, target, "main").run_secs[0])

    committed(2.0, target)
    assert found() == float(best.run_secs[0])
    committed(1e-12, Target({"kind": "llvm", "num-cores": 99}))
    assert found() == float(best.run_secs[0])
    committed(1e-9, target)
    assert found() == 1e-9
    assert len(database) == count + 3 == len(database.get_all_tuning_records())
    seconds = [float(record.run_secs[0]) for record in database.get_top_k(workload, 999)]
    assert seconds[:2] == [1e-12, 1e-9]
    assert seconds[-1] == 2.0
    assert (tuned_folder / "records.db").read_bytes() == before


def test_another_workload_may_be_committed(tuned_folder: Path, target: Target) -> None:
    database, module = ChameleonDatabase(tuned_folder), normalized(other_module()["triple"])
    assert not database.has_workload(module)
    workload = database.commit_workload(module)
    assert database.has_workload(module)
    assert database.query_tuning_record(module, target, "main") is None
    arguments = meta_schedule.arg_info.ArgInfo.from_entry_func(module)
    schedule = tvm.s_tir.Schedule(module)
    schedule.parallel(schedule.get_loops(schedule.get_sblock("b"))[0])
    database.commit_tuning_record(
        meta_schedule.database.TuningRecord(schedule.trace, workload, [1.0], target, arguments)
    )
    assert database.query_schedule(module, target, "main") is not None


# -- which records


@pytest.fixture
def copy(tuned_folder: Path, tmp_path: Path) -> Path:
    for name in ("records.db", "summary.json"):
        shutil.copy(tuned_folder / name, tmp_path / name)
    return tmp_path


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change every task in the summary of a folder."""
    summary = json.loads((folder / "summary.json").read_text())
    for task in summary["tasks"]:
        change(task)
    (folder / "summary.json").write_text(json.dumps(summary))


def test_of_a_kernel_with_a_wrong_finalist_only_the_winner_is_served(
    copy: Path, result: Result
) -> None:
    changed(copy, lambda task: task.update(refused=["wrong output: differs by 0.5"]))
    assert len(ChameleonDatabase(copy)) == sum(
        task.configuration is not None for task in result.tasks
    )
    changed(copy, lambda task: task.update(configuration=None))
    assert len(ChameleonDatabase(copy)) == 0


def test_an_interrupted_run_is_served_as_it_is(
    copy: Path, measured: dict[str, list[float]]
) -> None:
    (copy / "summary.json").unlink()
    count = sum(map(len, measured.values()))
    for place in (copy, str(copy), copy / "records.db", f"sqlite:///{copy}/records.db"):
        assert len(ChameleonDatabase(place)) == count


def test_records_of_another_tvm_are_refused(copy: Path) -> None:
    with sqlite3.connect(copy / "records.db") as connection:
        connection.execute(
            "UPDATE environment SET versions = replace(versions, '0.27.0.post1', '0.19.0')"
        )
    with pytest.raises(RecordsError, match=r"was recorded with apache-tvm 0\.19\.0, and 0\.27"):
        ChameleonDatabase(copy)


@pytest.mark.parametrize("content", [None, b"", b"no database" * 99])
def test_a_place_without_records_is_an_error(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "records.db").write_bytes(content)
    with pytest.raises(RecordsError):
        ChameleonDatabase(tmp_path)
    kept = (tmp_path / "records.db").read_bytes() if content is not None else None
    assert kept == content
    with pytest.raises(RecordsError, match="holds no records; name a folder of `chameleon tune`"):
        ChameleonDatabase(tmp_path / "nowhere")
