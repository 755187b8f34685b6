"""The search: it decides which configurations of which task are measured next.

The package has the tuning loop, its parts (`schedule`, `explore`, `sample` and `cost`), and recipes
that combine them. It imports `core`, `space`, `ports` and `system`. It must not import TVM, start
processes or do I/O; the one exception is `cost.prior`, which reads and writes files of models.
"""
