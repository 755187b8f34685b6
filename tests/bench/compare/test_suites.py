from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from chameleon_tuner.bench.compare.suites import PAPER_SUITES, check_suite, chosen, tasks_of
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import tiny_space
from chameleon_tuner.zoo.layers import PAPER

TASKS = [Task(name, name, "", {}, tiny_space()) for name in ("conv", "pool", "dense")]


def test_the_paper_has_its_numbers_of_layers() -> None:
    assert Counter(layer.network for layer in PAPER) == {"alexnet": 5, "vgg16": 9, "resnet18": 12}
    assert [layer.name for layer in PAPER_SUITES["paper-layers"]] == [
        "alexnet-1",
        "alexnet-4",
        "vgg16-1",
        "vgg16-2",
        "vgg16-4",
        "resnet18-6",
        "resnet18-9",
        "resnet18-11",
    ]


def test_the_calls_are_those_of_the_networks() -> None:
    calls = Counter[str]()
    for layer in PAPER:
        calls[layer.network] += layer.calls
    # VGG-16 has 13 convolutions; ResNet-18 20, and one beside the first block in AutoTVM's form.
    assert calls == {"alexnet": 5, "vgg16": 13, "resnet18": 21}


def test_the_papers_layers_become_one_task_each() -> None:
    tasks = tasks_of("paper-layers")
    assert [task.name for task in tasks] == [layer.name for layer in PAPER_SUITES["paper-layers"]]
    assert len({task.key for task in tasks}) == len(tasks)
    by_name = {task.name: task for task in tasks}
    # 2 * outputs * window * inputs, and the padding that TVM counts along with it
    assert by_name["resnet18-6"].flops == pytest.approx(2 * 28 * 28 * 128 * 9 * 128, rel=0.01)
    assert by_name["vgg16-4"].flops == pytest.approx(2 * 112 * 112 * 128 * 9 * 128, rel=0.01)
    assert by_name["resnet18-6"].arguments[-1] == "1x28x28x128 float32"
    assert by_name["alexnet-1"].arguments[-1] == "1x55x55x64 float32"


def test_a_models_tasks_come_as_the_tasks_command_lists_them(tiny_onnx: Path) -> None:
    tasks = tasks_of(str(tiny_onnx))
    work = [task.weight * task.flops for task in tasks]
    assert len(tasks) > 3
    assert work == sorted(work, reverse=True)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], ["conv", "pool", "dense"]),
        (["3", "1"], ["conv", "dense"]),
        (["dense", "pool", "2"], ["pool", "dense"]),
    ],
)
def test_tasks_are_chosen_by_number_and_name(wanted: list[str], expected: list[str]) -> None:
    assert [task.name for task in chosen(TASKS, wanted)] == expected


@pytest.mark.parametrize("wrong", ["0", "4", "relu", "-1", "1.0"])
def test_an_unknown_task_lists_those_that_are_there(wrong: str) -> None:
    with pytest.raises(UsageError, match="1 conv, 2 pool, 3 dense"):
        chosen(TASKS, ["1", wrong])


def test_an_unknown_suite_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match="did you mean 'resnet18'"):
        check_suite("resnet-18")
    with pytest.raises(UsageError, match="the path of an ONNX file"):
        check_suite("no/such/file.onnx")
