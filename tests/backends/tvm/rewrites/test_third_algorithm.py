"""A further algorithm is a further folder: nothing outside it names it.

The algorithm here multiplies by a weight that is stored transposed and doubled, and halves it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnxruntime import InferenceSession

from chameleon_tuner.app.options import Options
from chameleon_tuner.app.tune import by_name
from chameleon_tuner.backends.tvm import rewrites
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.backends.tvm.deploy.build import (
    apply_winners,
    build_libraries,
    kernel_names,
)
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import Network, open_target, prepare
from chameleon_tuner.backends.tvm.rewrites.base import transforms_of
from chameleon_tuner.backends.tvm.run.handler import TVMHandler
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.ports.backend import Winner
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.space.task import DIRECT, Task, by_kernel
from chameleon_tuner.zoo.graph import Graph

import tvm  # isort: skip

NAME = "turned"
"""Name of the algorithm, which is that of its folder."""

HELP = "Whether matrices may be multiplied by a weight that is stored transposed and doubled."

INIT = f'''
from chameleon_tuner.backends.tvm.rewrites import Algorithm

def _load():
    from chameleon_tuner.backends.tvm.rewrites.{NAME}.rewrite import REWRITE
    return REWRITE

ALGORITHM = Algorithm("{NAME}", "{HELP}", _load)
'''

REWRITE = """
import numpy as np
import tvm
from tvm import relax, te

from chameleon_tuner.backends.tvm.lower.constants import is_constant
from chameleon_tuner.backends.tvm.lower.graph import PATTERN
from chameleon_tuner.backends.tvm.rewrites.base import (
    Alternative, Rewrite, by_kernel, fused_otherwise
)

MATMUL, WEIGHT, FUSES_WITH_WHAT_FOLLOWS = "relax.matmul", "turned_weight", 4


def turned(builder, call):
    data, weight = call.args
    if isinstance(weight, relax.Var):
        weight = builder.lookup_binding(weight)
    shapes = [[int(extent) for extent in side.ty.shape.values] for side in (data, weight)]
    if not is_constant(weight) or [*map(len, shapes)] != [2, 2]:
        return tvm.ir.Op.get(MATMUL).get_attr("FLegalize")(builder, call)
    (rows, inner), (_, columns) = shapes

    def halved(x, doubled):
        k = te.reduce_axis((0, inner), "k")
        term = lambda i, j: te.sum(x[i, k] * (doubled[j, k] * te.const(0.5, x.dtype)), k)
        return te.compute((rows, columns), term, name="turned")

    other = relax.const(np.zeros((columns, inner), "float32"))
    attributes = {PATTERN: FUSES_WITH_WHAT_FOLLOWS}
    return builder.call_te(halved, data, other, primfunc_attrs=attributes)


def alternatives(module, target, lowered):
    found = []
    for function, other in fused_otherwise(module, target, lowered, {MATMUL: turned}):
        pairs = zip(function.params, other.params, strict=True)
        differing = [n for n, (a, b) in enumerate(pairs) if list(a.shape) != list(b.shape)]
        if differing:
            [number] = differing
            found.append((function, Alternative(other.with_attr(WEIGHT, number), "turned weight")))
    return by_kernel(found)


def transforms(function):
    attributes = function.attrs or {}
    if WEIGHT not in attributes:
        return {}
    return {int(attributes[WEIGHT]): lambda weight: np.ascontiguousarray(2 * weight.T)}


REWRITE = Rewrite(alternatives=alternatives, transforms=transforms)
"""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The folder of the algorithm beside those of the project."""
    home, package = tmp_path_factory.mktemp("rewrites"), rewrites.__name__
    (home / NAME).mkdir()
    (home / NAME / "__init__.py").write_text(INIT)
    (home / NAME / "rewrite.py").write_text(REWRITE)
    known = dict(rewrites.registered())
    rewrites.__path__.append(str(home))
    rewrites.registered.cache_clear()
    try:
        yield
    finally:
        rewrites.__path__.remove(str(home))
        rewrites.registered.cache_clear()
        for module in (f"{package}.{NAME}", f"{package}.{NAME}.rewrite"):
            sys.modules.pop(module, None)
        vars(rewrites).pop(NAME, None)
        assert rewrites.registered() == known


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products, one with a bias and an activation: each has an alternative."""
    graph = Graph("products", 0)
    x = graph.relu(graph.gemm(graph.input("input", (4, 32)), 48))
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(graph.model(graph.gemm(x, 24)), path)
    return path


def prepared(model: Path, *without: str) -> Network:
    return prepare(import_model(model), open_target("auto", 2), 2, without)


@pytest.fixture(scope="module")
def network(model: Path, folder: None) -> Network:
    return prepared(model)


def products(network: Network) -> list[tuple[Task, Task]]:
    """The kernels with another algorithm, and their tasks of that algorithm."""
    both = [mine for mine in by_kernel(network.tasks).values() if len(mine) > 1]
    assert [len(mine) for mine in both] == [2, 2]
    return [(kernel, other) for kernel, other in both]


def candidates(network: Network, task: Task, count: int) -> list[Configuration]:
    space, found = network.spaces[task.key], []
    rows = space.design.sample(50, np.random.default_rng(0))
    for configuration in space.design.configurations(space.design.unique(rows)):
        try:
            space.replay(configuration)
        except RejectedError:
            continue
        found.append(configuration)
        if len(found) == count:
            return found
    raise AssertionError("too little can be scheduled")


# -- users see it


def test_it_is_found() -> None:
    assert list(rewrites.registered()) == sorted(rewrites.registered())
    assert rewrites.registered()[NAME].help == HELP
    found = {algorithm.name: algorithm.help for algorithm in TVMBackend().algorithms}
    assert found[NAME] == HELP
    assert len(found) == len(rewrites.registered()) > 1


def command() -> click.Command:
    """The command `tune` as a new process would have it: it asks for the algorithms once."""
    spec = importlib.util.find_spec("chameleon_tuner.cli.commands.tune")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: click.Command = module.tune
    return found


def test_the_command_line_lists_it() -> None:
    shown = CliRunner().invoke(command(), ["--help"], terminal_width=200).output
    assert f"--{NAME} / --no-{NAME}" in shown
    assert HELP in shown
    [leave_out] = [line for line in shown.splitlines() if "Leave out an algorithm:" in line]
    assert NAME in leave_out


def test_it_can_be_left_out_by_either_name() -> None:
    names = list(rewrites.registered())
    with command().make_context("tune", ["m.onnx", "--out", "o", f"--no-{NAME}"]) as context:
        given = {name: context.params[name] for name in (*names, "without")}
    assert by_name(given, names) == {"without": (NAME,)}
    assert by_name({"without": (NAME,)}, names) == {"without": (NAME,)}
    Options(without=(NAME,)).check(names)
    with pytest.raises(UsageError):
        Options(without=(f"{NAME}s",)).check(names)


# -- the kernels are right


def test_its_tasks_are_beside_those_of_the_kernels(network: Network) -> None:
    for kernel, other in products(network):
        assert (kernel.algorithm, other.algorithm) == (DIRECT, "turned weight")
        assert other.computes == kernel.key != other.key
        assert other.name == f"{kernel.name}.turnedweight"
        assert (other.weight, other.flops) == (kernel.weight, kernel.flops)
        assert other.space.count > 1
        turned = [argument.split()[0].split("x")[::-1] for argument in other.arguments]
        assert kernel.arguments[1].split()[0].split("x") == turned[1]


def test_its_weight_is_another_than_the_kernels(network: Network) -> None:
    weight = np.random.default_rng(0).random((32, 48), dtype=np.float32)
    for kernel, other in products(network):
        [(number, transform)] = transforms_of(network.spaces[other.key].module["main"]).items()
        assert number == 1
        assert np.array_equal(transform(weight), 2 * weight.T)
        assert not transforms_of(network.spaces[kernel.key].module["main"])


def test_its_candidates_are_right_in_a_final(network: Network) -> None:
    for kernel, other in products(network):
        handler = TVMHandler()
        for task in (kernel, other):
            handler.tasks.load_task(task.key, task.module, dict(task.target))
        finalists = [(other.key, c) for c in candidates(network, other, 3)]
        finalists += [(kernel.key, c) for c in candidates(network, kernel, 1)]
        handler.finals.ready(kernel.key, finalists)
        handler.finals.contend(rounds=2, round_secs=0.0005)
        judged = handler.finals.judge()
        assert [timed.message for timed in judged] == [""] * 5
        assert all(len(timed.samples) == 2 for timed in judged)
        assert all(timed.error is not None and timed.error < 1e-5 for timed in judged)


def test_a_final_finds_what_its_weights_are_not(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this, the one above would pass for kernels that read no weight."""
    kernel, other = products(network)[0]
    handler = TVMHandler()
    for task in (kernel, other):
        handler.tasks.load_task(task.key, task.module, dict(task.target))
    handler.finals.ready(kernel.key, [(other.key, c) for c in candidates(network, other, 1)])
    handler.finals.contend(rounds=1, round_secs=0.0005)
    algorithm = sys.modules[f"{rewrites.__name__}.{NAME}.rewrite"]
    undoubled = rewrites.base.Rewrite(
        transforms=lambda function: {1: lambda weight: np.ascontiguousarray(weight.T)}
    )
    monkeypatch.setattr(algorithm, "REWRITE", undoubled)
    _, judged = handler.finals.judge()
    assert judged.error is not None
    assert judged.error > 0.1


def test_a_library_of_it_computes_what_onnxruntime_does(
    network: Network, model: Path, tmp_path: Path
) -> None:
    finalists = {
        kernel.key: Finalist(other, candidates(network, other, 1)[0])
        for kernel, other in products(network)
    }
    chosen = apply_winners(network.lowered, network.alternatives, network.spaces, finalists)
    made = {v.name_hint for v, f in chosen.functions.items() if isinstance(f, tvm.tirx.PrimFunc)}
    assert sum(name.endswith(f"_{NAME}") for name in made) == 2
    assert made <= {name for names in kernel_names(network.lowered).values() for name in names}
    winners = {key: Winner(finalist, 1e-6) for key, finalist in finalists.items()}
    build_libraries([network], winners, tmp_path)
    tuned = Library(tmp_path)
    inputs = tuned.random_inputs(0)
    [found], [wanted] = tuned(inputs).values(), InferenceSession(str(model)).run(None, inputs)
    assert np.abs(wanted).max() > 0.1
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_without_it_there_are_the_other_tasks_alone(network: Network, model: Path) -> None:
    left = prepared(model, NAME)
    assert [task.key for task in left.tasks] == list(by_kernel(network.tasks))
    with pytest.raises(UsageError, match="unknown algorithm 'another'; known: "):
        prepared(model, "another")
