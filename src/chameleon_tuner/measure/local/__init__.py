"""Measuring on this machine, in worker processes that may die at any moment.

A nursery process has the backend loaded and forks workers; a pool keeps as many of them alive as
there are cores. `LocalMeasurer` and `LocalJudge` send them typed requests.
"""
