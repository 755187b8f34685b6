"""Cost models: boosted trees on encodings of configurations, with an uncertainty.

The package imports `core`, `space`, `system` and the history of the search. It must not import TVM,
start processes or do I/O, except that `prior` reads and writes files of models.
"""
