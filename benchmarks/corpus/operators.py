"""The compiled operators of torchvision, in Python where they cannot be loaded.

The torchvision that fits a PyTorch for CPUs may have been built for CUDA. It then cannot load its
operators, and fails on import when it describes them.
"""

from __future__ import annotations

import importlib
import sys

import torch
from torch import Tensor

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)
"""The operators that the corpus needs, as torchvision declares them."""

_KEPT: list[torch.library.Library] = []
"""A library that is collected takes its operators with it."""


def load_torchvision() -> None:
    """Import torchvision, with operators in Python if its own cannot be loaded."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        _KEPT.append(library)
        for schema in SCHEMAS:
            library.define(schema)
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        _implement(library)


def _implement(library: torch.library.Library) -> None:
    for name in ("torchvision.extension", "torchvision.ops.roi_align"):
        vars(importlib.import_module(name))["_has_ops"] = _has_operators
    pool = vars(sys.modules["torchvision.ops.roi_align"])["_roi_align"]
    library.impl("nms", nms, "CPU")
    library.impl("roi_align", pool.__wrapped__, "CPU")  # without its compilation
    library.impl("roi_align", _pooled, "Meta")


def _has_operators() -> bool:
    return True


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the boxes that do not overlap a better one, the best first."""
    from torchvision.ops import box_iou

    left = scores.argsort(descending=True, stable=True)
    kept = []
    while len(left):
        kept.append(left[:1])
        overlaps = box_iou(boxes[kept[-1]], boxes[left])[0]
        left = left[1:][overlaps[1:] <= threshold]
    return torch.cat([left, *kept])


def _pooled(
    features: Tensor, rois: Tensor, _scale: float, height: int, width: int, *_: object
) -> Tensor:
    return features.new_empty((rois.size(0), features.size(1), height, width))
