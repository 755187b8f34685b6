"""Networks for images and videos, of torchvision and timm."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from registry import Example, example, exported
from torch import Tensor, nn
from torch_export import image

TORCHVISION = {
    "cnn": "resnet50 vgg16 alexnet densenet121 inception_v3 googlenet squeezenet1_1 regnet_y_3_2gf "
    "resnext50_32x4d efficientnet_b0 efficientnet_v2_s convnext_tiny",
    "mobile": "mobilenet_v2 mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0",
    "vision transformer": "vit_b_16 swin_t swin_v2_t maxvit_t",
}
"""Classifiers of torchvision by family."""

TIMM = {
    "cnn": "repvgg_a0 hrnet_w18_small_v2 res2net50_14w_8s dpn68 dla34 xception41 eca_nfnet_l0 "
    "resnest14d cspdarknet53 ese_vovnet19b_dw convnextv2_nano hgnetv2_b0 inception_next_tiny "
    "focalnet_tiny_srf mambaout_tiny skresnet34 rexnet_100",
    "mobile": "ghostnet_100 mobileone_s1 mobilenetv4_conv_small tf_efficientnet_lite0 lcnet_100 "
    "fbnetc_100 fastvit_t8 edgenext_small starnet_s1 repvit_m1_0",
    "vision transformer": "deit_small_distilled_patch16_224 coatnet_0_rw_224 maxvit_tiny_rw_224 "
    "levit_128s pvt_v2_b1 mobilevit_s cait_xxs24_224 xcit_tiny_12_p16_224 volo_d1_224 davit_tiny "
    "efficientformer_l1 tiny_vit_5m_224 twins_svt_small crossvit_9_240 eva02_tiny_patch14_224 "
    "hiera_tiny_224 poolformerv2_s12 beit_base_patch16_224",
    "mlp": "mixer_s32_224 resmlp_12_224 gmlp_s16_224 convmixer_768_32",
}
"""Classifiers of timm by family."""

SEGMENTERS = (
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
)
VIDEO = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b")


def classifier(name: str) -> Example:
    """Build a classifier of torchvision."""
    import torchvision

    more = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    module = torchvision.models.get_model(name, weights=None, **more)
    return Example(module, {"x": image(299 if name == "inception_v3" else 224)})


def timm_classifier(name: str) -> Example:
    """Build a classifier of timm, with its own size of image."""
    import timm

    module = timm.create_model(name, pretrained=False, exportable=True)
    channels, size, _ = module.default_cfg["input_size"]
    return Example(module, {"x": image(size, channels=channels)})


class Maps(nn.Module):
    """A segmentation network that returns the map of classes only."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Any:
        return self.module(image)["out"]


def segmenter(name: str) -> Example:
    """Build a segmentation network of torchvision."""
    import torchvision

    module = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    return Example(Maps(module), {"image": image(256)})


def video(name: str) -> Example:
    """Build a network for videos of torchvision."""
    import torchvision

    size = 112 if name.endswith("_18") else 224
    module = torchvision.models.get_model(name, weights=None)
    return Example(module, {"x": torch.randn(1, 3, 16, size, size)})


for family, names in TORCHVISION.items():
    for name in names.split():
        exported(name, family, "torchvision", partial(classifier, name))
for family, names in TIMM.items():
    for name in names.split():
        exported(name, family, "timm", partial(timm_classifier, name))
for name in SEGMENTERS:
    exported(name, "segmentation", "torchvision", partial(segmenter, name))
for name in VIDEO:
    exported(name, "video", "torchvision", partial(video, name))


@example("cnn", "torchvision")
def resnet18_open_batch() -> Example:
    """Build a ResNet-18 whose batch is open."""
    import torchvision

    return Example(torchvision.models.resnet18(), {"x": image()}, {"x": {0: "batch"}})


@example("optical flow", "torchvision")
def raft_small() -> Example:
    """Build RAFT with 4 of its recurrent updates."""
    import torchvision

    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = torchvision.models.optical_flow.raft_small(weights=None)

        def forward(self, first: Tensor, second: Tensor) -> Any:
            return self.module(first, second, num_flow_updates=4)[-1]

    return Example(Flow(), {"first": image(128), "second": image(128)})
