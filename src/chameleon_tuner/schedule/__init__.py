"""Which tasks next, and when a task is done."""

from chameleon_tuner.schedule.budget import EFFORTS, Budget, parse_duration, trials_of
from chameleon_tuner.schedule.gradient import GradientScheduler, Plan, ScheduleParameters, Standing

__all__ = [
    "EFFORTS",
    "Budget",
    "GradientScheduler",
    "Plan",
    "ScheduleParameters",
    "Standing",
    "parse_duration",
    "trials_of",
]
