"""Detectors of torchvision, with and without the suppression of overlapping boxes."""

from __future__ import annotations

from functools import partial
from typing import Any

from registry import Example, exported
from torch import Tensor, nn
from torch_export import image

WITH_NMS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"box_score_thresh": 0.0},
    "maskrcnn_resnet50_fpn": {"box_score_thresh": 0.0, "rpn_post_nms_top_n_test": 100},
    "retinanet_resnet50_fpn": {"score_thresh": 0.1},
    "fcos_resnet50_fpn": {"score_thresh": 0.1},
    "ssd300_vgg16": {"score_thresh": 0.01},
    "ssdlite320_mobilenet_v3_large": {"score_thresh": 0.01},
}
"""Whole detectors; the threshold is one that untrained scores reach."""

WITHOUT_NMS = ("retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssdlite320_mobilenet_v3_large")
"""Detectors whose backbone and heads are a network of their own."""

SIZE = 320


def _made(name: str, **more: Any) -> nn.Module:
    """Build a detector whose scores differ by more than rounding, as those of a trained one."""
    import torchvision

    models = torchvision.models.detection
    sized = {} if name.startswith("ssd") else {"min_size": SIZE, "max_size": SIZE}
    module = getattr(models, name)(weights=None, weights_backbone=None, **sized, **more)
    for part, parameter in module.named_parameters():
        if "cls_" in part and part.endswith("weight"):
            parameter.data *= 10
    return module


class Detections(nn.Module):
    """A detector of one image, whose outputs are tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Any:
        return tuple(self.module([image[0]])[0].values())


class Heads(nn.Module):
    """The backbone and the heads of a detector, without anchors and suppression."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.backbone, self.head = module.backbone, module.head

    def forward(self, image: Tensor) -> Any:
        return tuple(self.head(list(self.backbone(image).values())).values())


def whole(name: str) -> Example:
    """Build a detector with its suppression; how many boxes it returns depends on the image.

    PyTorch's default exporter refuses such shapes.
    """
    kept = "box_detections_per_img" if "rcnn" in name else "detections_per_img"
    module = _made(name, **{kept: 20}, **WITH_NMS[name])
    return Example(Detections(module), {"image": image(SIZE).sigmoid()}, tracing=True)


def heads(name: str) -> Example:
    """Build the backbone and the heads of a detector."""
    return Example(Heads(_made(name)), {"image": image(SIZE)})


for name in WITH_NMS:
    exported(name, "detection with NMS", "torchvision", partial(whole, name))
for name in WITHOUT_NMS:
    exported(f"{name}_heads", "detection", "torchvision", partial(heads, name))
