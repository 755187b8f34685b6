"""What MetaSchedule's processes are spared: seconds of importing that no schedule needs.

TVM imports PyTorch wherever it is installed, which is this project's dependency and not TVM's. And
MetaSchedule's builder, in each of its processes after every round, imports all tensor intrinsics of
GPUs, and for each of the 248 it takes a whole stack of frames, for every one of which `inspect`
goes through all modules: on a Zen 3 that took 34 to 42 s, more than the builder allows a candidate,
so that most candidates failed. Without that it takes 8 s.
"""

from __future__ import annotations

import os
from pathlib import Path

_NO_TORCH = 'raise ImportError("hidden from TVM")\n'

_QUICK_FRAMES = '''\
"""Frames of the import system are of no module: nothing is gone through for them."""

import inspect

_getmodule = inspect.getmodule


def getmodule(object, _filename=None):
    if inspect.isframe(object) and object.f_code.co_filename.startswith("<frozen"):
        return None
    return _getmodule(object, _filename)


inspect.getmodule = getmodule
'''


def eased_path(scratch: Path) -> str:
    """The PYTHONPATH of such processes.

    Args:
        scratch: a folder that lives as long as they do.
    """
    (scratch / "torch.py").write_text(_NO_TORCH)
    (scratch / "sitecustomize.py").write_text(_QUICK_FRAMES)
    return os.pathsep.join(filter(None, (str(scratch), os.environ.get("PYTHONPATH", ""))))
