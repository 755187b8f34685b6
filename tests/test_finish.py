from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import chameleon_tuner.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner import finish
from chameleon_tuner.history import History
from chameleon_tuner.machine import thread_environment
from chameleon_tuner.measure.outcome import Failed, Outcome, Status
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.space import Choice, Configuration, DesignSpace, Sketch
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Final, Task
from chameleon_tuner.tvm.compare import Comparison
from chameleon_tuner.tvm.deploy import LIBRARY
from chameleon_tuner.tvm.frontend import import_model
from chameleon_tuner.tvm.prepare import open_target, prepare
from chameleon_tuner.tvm.worker import Judged
from chameleon_tuner.winners import TOLERANCE, Verdict

HANDLER = "chameleon_tuner.tvm.compare:ModelWorker"


def test_a_refused_model_is_replaced_where_it_was_loaded(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has loaded the refused library; nothing is tuned, so the two differ in layout."""
    network = prepare(import_model(str(tiny_onnx)), open_target("auto", 2), 2)
    monkeypatch.setattr(finish, "_why_not", lambda comparison, winners: "refused by the test")
    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        deployed = finish.deploy(network, {}, tmp_path, pool, Stopwatch())
    assert deployed.verified
    assert deployed.comparison.errors["untuned"] == 0.0
    assert deployed.comparison.errors["onnxruntime"] <= TOLERANCE
    assert [path.name for path in tmp_path.glob("*.so")] == [LIBRARY]


@pytest.mark.parametrize(("seconds", "deployed"), [([2.0, 0.5], True), ([2.0, 2.0, 1.0], False)])
def test_a_model_that_seems_slower_is_timed_once_more(
    seconds: list[float],
    deployed: bool,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A neighbour of the machine was busy; or the model is slow, and the untuned one is timed."""
    network = prepare(import_model(str(tiny_onnx)), open_target("auto", 2), 2)
    times = iter(seconds)

    def compared(*_: object) -> Comparison:
        return Comparison({"tuned": next(times), "untuned": 1.0}, {"untuned": 0.0})

    monkeypatch.setattr(finish, "_compare", compared)
    verdicts = {"kernel": Verdict(None, 1.0, 2.0)}
    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        result = finish.deploy(network, verdicts, tmp_path, pool, Stopwatch())
    assert next(times, None) is None
    assert bool(result.verdicts["kernel"].refused) is not deployed


# -- verdicts

SPACE = DesignSpace((Sketch((Choice(tuple(range(9))),)),))
DIRECT = Task("kernel", "k", "", {}, SPACE)
OTHER = Task("kernel.other", "o", "", {}, SPACE, computes="k")
RIGHT, WRONG = 0.0, 0.5
CRASH = Failed(Status.CRASHED, "SIGSEGV during judge", fatal=True)


def history(secs: float) -> History:
    made, configuration = History(SPACE), Configuration(0, (1,))
    made.extend([Outcome(configuration, configuration, "", Status.OK, samples=(secs,))])
    return made


class Judges:
    """A measurer whose finalists are as right as the algorithm; crashes where one is to."""

    def __init__(self, errors: dict[str, float | Failed]) -> None:
        self._errors = errors
        self.asked: list[list[str]] = []

    def judge(self, finals: Sequence[Final], *_: object) -> Iterator[list[Judged] | Failed]:
        for final in finals:
            keys = [finalist.task.key for finalist in final.finalists]
            self.asked.append(keys)
            crash = next((e for k in keys if isinstance(e := self._errors[k], Failed)), None)
            judged = [Judged((0.5,), self._errors[key]) for key in keys if crash is None]  # type: ignore[arg-type]
            yield crash or [Judged((4.0,), RIGHT), *judged]


def test_the_heavy_finals_come_first() -> None:
    """Those that take equally long are side by side."""
    tasks = [replace(DIRECT, key=key, flops=flops) for key, flops in (("a", 1), ("b", 3), ("c", 2))]
    judges = Judges(dict.fromkeys("abc", RIGHT))
    kernels, histories = {task.key: [task] for task in tasks}, dict.fromkeys("abc", history(1.0))
    verdicts = dict(finish.judge(judges, kernels, histories))  # type: ignore[arg-type]
    assert judges.asked == [["b"], ["c"], ["a"]]
    assert all(verdicts[key].winner.task.key == key for key in "abc")


@pytest.mark.parametrize(
    ("errors", "seconds", "asked", "winner"),
    [
        ({"k": RIGHT, "o": RIGHT}, {"k": 3.0, "o": 1.0}, [["o"]], "o"),
        ({"k": RIGHT, "o": WRONG}, {"k": 3.0, "o": 1.0}, [["o"], ["k"]], "k"),
        ({"k": RIGHT, "o": CRASH}, {"k": 3.0, "o": 1.0}, [["o"], ["k"]], "k"),
        ({"k": RIGHT, "o": CRASH}, {"k": 1.1, "o": 1.0}, [["k", "o"], ["k"], ["o"]], "k"),
        ({"k": CRASH, "o": RIGHT}, {"k": 1.1, "o": 1.0}, [["k", "o"], ["k"], ["o"]], "o"),
        ({"k": CRASH, "o": CRASH}, {"k": 1.1, "o": 1.0}, [["k", "o"], ["k"], ["o"]], None),
        ({"k": WRONG, "o": WRONG}, {"k": 3.0, "o": 1.0}, [["o"], ["k"]], None),
        ({"k": WRONG, "o": WRONG}, {"k": 1.1, "o": 1.0}, [["k", "o"]], None),
    ],
)
def test_another_algorithm_stands_in_for_one_that_is_wrong(
    errors: dict[str, float | Failed],
    seconds: dict[str, float],
    asked: list[list[str]],
    winner: str | None,
) -> None:
    judges, histories = Judges(errors), {key: history(secs) for key, secs in seconds.items()}
    [(key, verdict)] = finish.judge(judges, {"k": [DIRECT, OTHER]}, histories)  # type: ignore[arg-type]
    assert (key, judges.asked) == ("k", asked)
    assert (verdict.winner.task.key if verdict.winner else None) == winner
    assert bool(verdict.refused) is (len(asked) > 1 or winner is None)
