"""Records as the files of MetaSchedule's own database, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from tvm import te
from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.target import Target

from chameleon_tuner.app.database import METASCHEDULE, export_files, import_files
from chameleon_tuner.cli import main
from chameleon_tuner.core.errors import OutputError, RecordsError
from chameleon_tuner.records import RecordStore

FILES = ("database_workload.json", "database_tuning_record.json")


@pytest.fixture(scope="module")
def exported(tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "database"
    assert export_files(tuned_folder, folder, most=2) > 2
    return folder


def test_tvm_reads_what_is_exported(exported: Path) -> None:
    stored = meta_schedule.database.JSONDatabase(*(str(exported / name) for name in FILES))
    records = stored.get_all_tuning_records()
    by_module: dict[str, int] = {}
    for record in records:
        assert all(float(secs) > 0 for secs in record.run_secs)
        key = meta_schedule.utils.shash2hex(record.workload.mod)
        by_module[key] = by_module.get(key, 0) + 1
    assert by_module
    assert max(by_module.values()) == 2


def test_what_is_exported_comes_back_as_the_same_candidates(
    exported: Path, tuned_folder: Path
) -> None:
    records, left_out = import_files(exported)
    assert left_out == 0
    modules = {(one.workload.hash, one.record.outcome.structural_hash) for one in records}
    with RecordStore.open(tuned_folder / "records.db", upgrade=False) as store:
        [environment] = store.environments()
        known = {
            (workload.hash, outcome.structural_hash)
            for workload in store.workloads()
            for outcome in store.outcomes(workload, environment)
        }
        families = {workload.hash: workload.family for workload in store.workloads()}
    assert modules <= known
    assert {one.workload.hash: one.workload.family for one in records}.items() <= families.items()
    assert {one.environment.device for one in records} == {f"unknown ({METASCHEDULE})"}
    assert {one.run.info.recipe for one in records} == {METASCHEDULE}


def test_what_tvm_measured_is_imported(tmp_path: Path) -> None:
    a = te.placeholder((64, 64), name="a")
    b = te.compute((64, 64), lambda i, j: a[i, j] * 2.0, name="b")
    module = IRModule({"main": te.create_prim_func([a, b])})
    target = Target({"kind": "llvm", "num-cores": 2})
    stored = meta_schedule.database.JSONDatabase(*(str(tmp_path / name) for name in FILES))
    workload = stored.commit_workload(module)
    generator = meta_schedule.space_generator.PostOrderApply()
    context = meta_schedule.TuneContext(
        mod=module, target=target, space_generator=generator, num_threads=1
    )
    [schedule, *_] = context.generate_design_space()
    arguments = meta_schedule.arg_info.ArgInfo.from_prim_func(module["main"])
    for secs in ([1e-5, 2e-5], [1e10], []):  # measured, failed, not measured
        record = meta_schedule.database.TuningRecord(
            schedule.trace, workload, secs, target, arguments
        )
        stored.commit_tuning_record(record)
    records, left_out = import_files(tmp_path)
    assert left_out == 2
    [record] = records
    assert record.record.outcome.samples == (1e-5, 2e-5)
    assert record.workload.facts["arguments"]
    assert record.workload.design_space().contains(record.record.outcome.configuration)


@pytest.mark.parametrize("content", [None, b"", b"[", b'{"a": 1}\n', b"\x00\x01\n"])
def test_what_is_no_database_adds_nothing(
    content: bytes | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, store = tmp_path / "database", tmp_path / "store.db"
    folder.mkdir()
    if content is not None:
        for name in FILES:
            (folder / name).write_bytes(content)
    if content == b"":
        assert import_files(folder) == ([], 0)  # TVM makes such files
        return
    with pytest.raises(RecordsError):
        import_files(folder)
    words = ["records", "import", str(folder), "--metaschedule", "--store", str(store)]
    assert main(words) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert not store.exists()


def test_a_database_is_not_overwritten(exported: Path, tuned_folder: Path) -> None:
    before = [(exported / name).read_bytes() for name in FILES]
    with pytest.raises(OutputError, match="name another folder"):
        export_files(tuned_folder, exported, most=1)
    assert [(exported / name).read_bytes() for name in FILES] == before


def test_by_the_command_line(
    tuned_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, store = tmp_path / "database", tmp_path / "store.db"
    words = ["--metaschedule", "--best", "1", "--store", str(tuned_folder)]
    assert main(["records", "export", str(folder), *words]) == 0
    count = len((folder / FILES[1]).read_text().splitlines())
    assert capfd.readouterr().out == f"{folder}: {count} records\n"
    words = ["records", "import", str(folder), "--metaschedule", "--store", str(store)]
    for added in (count, 0):
        assert main(words) == 0
        assert capfd.readouterr().out == f"{folder}: {added} new records\n"
