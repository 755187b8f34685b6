"""A run from a model to a tuned library: prepare, search, judge, deploy.

`tune.run` reads as that line; its stages are injected. The backend is behind `ports.backend`, so
this room imports no TVM until it is told to use that backend.
"""
