"""Explorers: many candidates from the cost model, none from the hardware.

The PPO agent is in `chameleon_tuner.explore.ppo`.
"""
