"""The store of all runs of a user: what a run knows before it begins, and what it adds."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from chameleon_tuner.app.judge import Settled
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError, UsageError
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.ports.records import Environment, PastSearch, RunInfo, Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.place import resolve
from chameleon_tuner.records.sharing import began_with, begin_with
from chameleon_tuner.search.history import History
from chameleon_tuner.search.schedule import Budget
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.files import RECORDS, user_data

VARIABLE = "CHAMELEON_STORE"
"""The environment variable with the place of the store; without a value there is none."""


class Sharing:
    """What a run has to do with the store of all runs.

    The run measures into its own folder. A store that fails while it runs costs what it would have
    taken from it: the run goes on, and what it measured is added the next time that the same
    command runs.

    Args:
        store: The store; None for a run that keeps to its folder, and for one that is opened when
            the run begins.
        place: Where the store is, for people; empty without one.
        file: The user's own store, which is opened when the run begins: a run that is refused
            before leaves nothing behind.

    Attributes:
        place: See the argument.
        trouble: Why the store could not be used; empty where it could.
    """

    def __init__(
        self, store: RecordStore | None = None, place: str = "", file: Path | None = None
    ) -> None:
        self._store, self._file = store, file
        self.place, self.trouble = place, ""
        self._sent: dict[int, int] = {}

    def __enter__(self) -> Sharing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._store is not None:
            self._store.close()

    def begin(
        self,
        own: RecordStore,
        run: RunInfo,
        workloads: Sequence[Workload],
        environment: Environment,
    ) -> list[PastSearch]:
        """Return what a run knows before it measures; see `records.sharing.begin_with`.

        Args:
            own: The records in the folder of the run.
            run: The run.
            workloads: The kernels of the run.
            environment: Where it measures.

        Returns:
            What was measured of these kernels and of their relatives.
        """
        try:
            if self._store is None and self._file is not None:
                self._store = _open_own(self._file)
            return begin_with(own, run, self._store, workloads, environment)
        except RecordsError as error:
            self.trouble = str(error)
            return begin_with(own, run, None, workloads, environment)

    def give(self, own: RecordStore, run_id: int) -> None:
        """Add what a run has measured since the last call to the store.

        After a failure nothing is tried until `finish`, because a server that does not answer takes
        seconds to be found out.
        """
        if self._store is None or self.trouble:
            return
        with suppress(RecordsError):  # of the own records, which the run itself will find
            fresh = own.portable(run_id, self._sent.get(run_id, 0))
            try:
                self._store.add([record for _, record in fresh])
            except RecordsError as error:
                self.trouble = str(error)
            else:
                self._sent[run_id] = max((number for number, _ in fresh), default=0) or (
                    self._sent.get(run_id, 0)
                )

    def told(self, known: Known) -> dict[str, Any]:
        """Return what the summary of a run says of the store, see `Result.store`."""
        return {
            "place": self.place,
            "known": known.trials,
            "relatives": known.lessons,
            "trouble": self.trouble,
        }

    def finish(self, own: RecordStore, run: RunInfo) -> None:
        """Add everything of a run, the timings of final comparisons as well."""
        if self._store is None:
            return
        self._sent, self.trouble = {}, ""
        for info in (run, began_with(run)):
            run_id = own.run_id(info)
            if run_id is not None:
                self.give(own, run_id)


def open_sharing(place: str | Path | bool | None) -> Sharing:
    """Open the store of all runs.

    Args:
        place: A file or a database URL; False for no store; None for that of the environment
            variable `CHAMELEON_STORE`, or else for the user's own.

    Returns:
        What a run has to do with it. A user's own store that cannot be used is left alone, and the
        run goes on without it.

    Raises:
        RecordsError: A place that was asked for cannot be used.
    """
    given = os.environ.get(VARIABLE) if place is None or place is True else place
    found = place_of(place)
    if found is None:
        return Sharing()
    if given:
        return Sharing(RecordStore.open(found), resolve(found).name)
    return Sharing(place=str(found), file=Path(found))


def place_of(place: str | Path | bool | None) -> str | Path | None:
    """Return where the store of all runs is; see `open_sharing`; None where there is none."""
    given = os.environ.get(VARIABLE) if place is None or place is True else place
    if given is False or given == "":
        return None
    folder = user_data()
    return given or (None if folder is None else folder / RECORDS)


def _open_own(file: Path) -> RecordStore:
    """Open the user's own store, which is made where there is none.

    Raises:
        RecordsError: It cannot be used.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"{file} cannot be made ({error.strerror}); use --no-store") from error
    return RecordStore.open(file)


@dataclass(frozen=True)
class Known:
    """What is known before a search.

    Attributes:
        outcomes: What was measured of the run's own tasks in this environment, by their key.
        relatives: The searches of similar tasks, or of the same ones elsewhere.
        winners: The configurations of tasks that were the fastest in a final comparison, with
            their seconds in it, by key of the task.
    """

    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    relatives: Sequence[History] = ()
    winners: Mapping[str, tuple[float, Configuration]] = field(default_factory=dict)

    @property
    def trials(self) -> int:
        """The number of trials of the run's own tasks."""
        return sum(map(len, self.outcomes.values()))

    @property
    def lessons(self) -> int:
        """The number of trials of relatives."""
        return sum(map(len, self.relatives))

    def settled(
        self, kernels: Mapping[str, Sequence[Task]], histories: Mapping[str, History]
    ) -> dict[str, Settled]:
        """Return the winners of earlier final comparisons, of kernels that were not searched again.

        They are compared with the untuned kernel and checked once more, without the others that
        they have beaten.

        Args:
            kernels: Tasks that compute the same, by key of the kernel.
            histories: What was measured, by key of the task.
        """
        found = {}
        for key, tasks in kernels.items():
            won = [(*self.winners[task.key], task) for task in tasks if task.key in self.winners]
            if won and all(self._unchanged(histories[task.key], task) for task in tasks):
                secs, configuration, task = min(won, key=lambda one: one[0])
                found[key] = Settled(Finalist(task, configuration), secs)
        return found

    def _unchanged(self, history: History, task: Task) -> bool:
        return len(history) == len(self.outcomes.get(task.key, ()))

    def budget(self, asked: Budget, tasks: int) -> Budget:
        """Return a budget of which the known trials are a part.

        A search that is asked for with as many trials as are known is over before it begins. Tasks
        of which nothing is known have their full share all the same.

        Args:
            asked: The budget of a search that knows nothing.
            tasks: The number of tasks.
        """
        fresh = tasks - len(self.outcomes)
        left = max(asked.trials - self.trials, fresh * asked.trials // max(tasks, 1))
        return replace(asked, trials=self.trials + left)


def known_of(past: Iterable[PastSearch], tasks: Sequence[Task], environment: Environment) -> Known:
    """Sort past searches into those of the tasks themselves and those of their relatives.

    Records that do not fit the design space that they are said to be of are left out.

    Args:
        past: Searches of any tasks.
        tasks: The tasks of the run.
        environment: Where the run measures.

    Returns:
        What is known.
    """
    own = {task.key: task for task in tasks}
    outcomes: dict[str, list[Outcome]] = {}
    relatives: list[History] = []
    winners: dict[str, tuple[float, Configuration]] = {}
    for one in past:
        key = one.workload.hash
        if key in own and one.environment == environment:
            outcomes[key] = _fitting(own[key].space, one.outcomes)
            finals = [
                (statistics.median(one.finals[outcome.identity]), outcome.configuration)
                for outcome in outcomes[key]
                if one.finals.get(outcome.identity)
            ]
            if finals:
                winners[key] = min(finals)
        else:
            with suppress(UsageError, ValueError):
                history = History(one.workload.design_space())
                history.extend(_fitting(history.space, one.outcomes))
                relatives.append(history)
    return Known({key: mine for key, mine in outcomes.items() if mine}, relatives, winners)


def _fitting(space: DesignSpace, outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [
        outcome
        for outcome in outcomes
        if space.contains(outcome.configuration) and space.contains(outcome.proposed)
    ]
