"""Who wins the final comparison of a program."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from chameleon_tuner.app.judge import Verdict
from chameleon_tuner.ports.handler import Timed
from chameleon_tuner.ports.judge import Finalist

SHARE = 6 / 7
"""Least share of the rounds in which a winner has to be faster than the default configuration. One
that is as fast is faster in six or seven of seven rounds once in 16 times."""


def decided(finalists: Sequence[Finalist], judged: Sequence[Timed]) -> Verdict:
    """Return the verdict: the fastest finalist that beats the default configuration, or nobody.

    All run in turns, so a round is a pair of times on the same machine at the same moment. A
    smaller median alone may be noise.

    Args:
        finalists: The finalists. Those whose output was wrong have failed.
        judged: The default configuration, then the finalists.
    """
    default, *others = judged
    default_secs = _median(default)
    best_secs, winner, refused = default_secs, None, []
    for finalist, timed in zip(finalists, others, strict=True):
        pairs = list(zip(timed.samples, default.samples, strict=False))
        faster = sum(mine < theirs for mine, theirs in pairs)
        if timed.message:
            refused.append(timed.message)
        elif default.samples and (_median(timed) >= default_secs or faster < SHARE * len(pairs)):
            refused.append(f"the fastest candidates were faster in {faster} of {len(pairs)} rounds")
        elif _median(timed) < best_secs:
            best_secs, winner = _median(timed), finalist
    return Verdict(winner, best_secs, default_secs, tuple(refused))


def _median(timed: Timed) -> float:
    return statistics.median(timed.samples) if timed.samples else math.inf
