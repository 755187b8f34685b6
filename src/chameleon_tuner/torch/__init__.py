"""Chameleon for PyTorch: a backend of `torch.compile`, and tuning ahead of time.

>>> import torch
>>> compiled = torch.compile(module.eval(), backend="chameleon")  # doctest: +SKIP
>>> with torch.no_grad():
...     output = compiled(image)  # doctest: +SKIP

The first call tunes the graphs of the module, which takes minutes; later processes find what was
tuned. What cannot be tuned runs in PyTorch as before, and a warning says why.

- `dynamo`: what `torch.compile` calls
- `ahead`: a module tuned before it is called
- `frozen`: graphs whose weights are constants
- `kept`: tuned graphs, in the user's cache
- `parts`: graphs cut where an operator cannot be tuned
"""

from chameleon_tuner.torch.ahead import compile  # noqa: A004 - torch.compile has the name, too
from chameleon_tuner.torch.dynamo import EagerWarning, backend

__all__ = ["EagerWarning", "backend", "compile"]
