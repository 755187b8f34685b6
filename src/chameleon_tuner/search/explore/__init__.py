"""Explorers: they search the cost model for many candidates without using the hardware.

The package imports `core`, `space`, and the history and cost models of the search. It must not do
I/O, import TVM or start processes. The PPO agent is in `chameleon_tuner.search.explore.ppo`.
"""
