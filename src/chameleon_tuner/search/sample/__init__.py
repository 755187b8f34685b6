"""Samplers: they choose from many candidates the few that are measured.

The package imports `space`, `system`, and the history and explorers of the search. Samplers are
pure functions: they must not do I/O, import TVM or start processes.
"""
