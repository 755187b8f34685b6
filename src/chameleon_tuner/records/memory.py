"""What was measured before, in place of measuring it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import Configuration


class Memory:
    """The outcomes of one workload in one environment; every question takes constant time.

    Where two outcomes answer the same question, the one that was remembered first does, so that
    a resumed search hears what the interrupted one heard. Not thread-safe; owned by one loop.
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._proposed: dict[Configuration, Outcome] = {}
        self._ran: dict[Configuration, Outcome] = {}
        self._modules: dict[str, Outcome] = {}
        self.remember(outcomes)

    def __len__(self) -> int:
        """How many distinct measurements it knows."""
        return len(self._modules)

    def remember(self, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes, as `RecordStore.append` returned them."""
        for outcome in outcomes:
            self._proposed.setdefault(outcome.proposed, outcome)
            self._ran.setdefault(outcome.configuration, outcome)
            self._modules.setdefault(outcome.identity, outcome)

    def recall(self, configuration: Configuration) -> Outcome | None:
        """The outcome of a configuration that was proposed before, or that ran before.

        Its `proposed` is the configuration asked for. None where it was never measured.
        """
        found = self._proposed.get(configuration) or self._ran.get(configuration)
        return found and replace(found, proposed=configuration)

    def recall_module(self, structural_hash: str) -> Outcome | None:
        """The outcome of the module with this structural hash; None for an unknown or empty one.

        Configurations that differ can make the same module: `configuration` and `proposed` are
        those of the first one.
        """
        return self._modules.get(structural_hash)
