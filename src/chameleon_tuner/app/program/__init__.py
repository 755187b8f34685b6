"""Tuning any program that has parameters: see `tune.tune_program`.

- `options`: what is asked for
- `run`: what the stages of a run share
- `default`: the default configuration, whose output is right and whose time is to be beaten
- `tune`: reference, search, final
- `final`: who wins
- `result`: the numbers of a run
"""
