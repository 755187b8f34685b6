from __future__ import annotations

from pathlib import Path

from chameleon_tuner.app.options import Options
from chameleon_tuner.app.progress import Silent
from chameleon_tuner.app.tune import Run, prepare
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import thread_environment


def test_the_workers_of_a_run_derive_its_design_spaces(tiny_onnx: Path, tmp_path: Path) -> None:
    backend, options = TVMBackend(), Options()
    recipe = options.check([algorithm.name for algorithm in backend.algorithms])
    with WorkerPool(backend.handler, 2, thread_environment(2)) as pool:
        run = Run(tmp_path / "out", options, recipe, backend, pool, Silent(), Stopwatch())
        prepared = prepare(run, str(tiny_onnx))
        derived = [worker.tasks for worker in pool.workers]
    tasks = prepared.project.tasks
    assert sorted(key for keys in derived for key in keys) == sorted(task.key for task in tasks)
    assert list(tasks) == list(backend.prepare(prepared.source).tasks)
