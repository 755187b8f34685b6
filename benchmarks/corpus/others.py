"""Generators, restorers and recommenders, and networks of published designs without a package."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from registry import Example, example
from torch import Tensor, nn
from torch_export import image


@example("generator", "published design")
def dcgan() -> Example:
    """Build the generator of DCGAN, of transposed convolutions."""
    widths, layers = [512, 256, 128, 64], [nn.ConvTranspose2d(100, 512, 4, bias=False)]
    for before, after in zip(widths, [*widths[1:], 3], strict=True):
        layers += [nn.BatchNorm2d(before), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
    return Example(nn.Sequential(*layers, nn.Tanh()), {"input": torch.randn(1, 100, 1, 1)})


@example("generator", "published design")
def style_transfer() -> Example:
    """Build the fast style transfer of Johnson: reflected borders, instance norms, nearest."""

    def layer(before: int, after: int, size: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, size, stride)
        return [nn.ReflectionPad2d(size // 2), convolution, nn.InstanceNorm2d(after, affine=True)]

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layer(128, 128, 3), nn.ReLU(), *layer(128, 128, 3))

        def forward(self, values: Tensor) -> Tensor:
            return values + self.layers(values)

    parts = [*layer(3, 32, 9), nn.ReLU(), *layer(32, 64, 3, 2), nn.ReLU(), *layer(64, 128, 3, 2)]
    parts += [nn.ReLU(), *(Residual() for _ in range(5))]
    for before, after in ((128, 64), (64, 32)):
        parts += [nn.Upsample(scale_factor=2), *layer(before, after, 3), nn.ReLU()]
    border = nn.ReflectionPad2d(4)
    return Example(nn.Sequential(*parts, border, nn.Conv2d(32, 3, 9)), {"input": image(128)})


@example("super resolution", "published design")
def espcn() -> Example:
    """Build ESPCN, which triples an image by a pixel shuffle."""
    layers = [nn.Conv2d(1, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1)]
    layers += [nn.Tanh(), nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3)]
    return Example(nn.Sequential(*layers), {"input": image(224, channels=1)})


@example("super resolution", "published design")
def edsr_baseline() -> Example:
    """Build EDSR of 16 blocks, which doubles an image."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            convolution = nn.Conv2d(64, 64, 3, padding=1)
            self.layers = nn.Sequential(convolution, nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1))

        def forward(self, values: Tensor) -> Tensor:
            return values + self.layers(values)

    layers = [nn.Conv2d(3, 64, 3, padding=1), *(Block() for _ in range(16))]
    layers += [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(64, 3, 3, padding=1)]
    return Example(nn.Sequential(*layers), {"input": image(96)})


@example("segmentation", "published design")
def unet() -> Example:
    """Build a U-Net of half the original's width."""

    def double(before: int, after: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in (before, after):
            layers += [nn.Conv2d(width, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [32, 64, 128, 256, 512]
            pairs = list(pairwise(widths))
            self.first, self.pool = double(3, 32), nn.MaxPool2d(2)
            self.downs = nn.ModuleList(double(*pair) for pair in pairs)
            self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairs[::-1])
            self.joins = nn.ModuleList(double(b, a) for a, b in pairs[::-1])
            self.last = nn.Conv2d(32, 2, 1)

        def forward(self, image: Tensor) -> Any:
            levels = [self.first(image)]
            for down in self.downs:
                levels.append(down(self.pool(levels[-1])))
            found = levels.pop()
            for up, join in zip(self.ups, self.joins, strict=True):
                found = join(torch.cat([levels.pop(), up(found)], 1))
            return self.last(found)

    return Example(UNet(), {"image": image(128)})


@example("recommender", "published design")
def dlrm() -> Example:
    """Build DLRM: bags of embeddings, two MLPs, and the products of all pairs of features."""
    rows, bags, dense = (20000, 50000, 5000, 100000, 1000, 30000), 10, 13

    def mlp(*widths: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    class Recommender(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ModuleList(nn.EmbeddingBag(n, 64, mode="sum") for n in rows)
            self.bottom, self.top = mlp(dense, 512, 256, 64), mlp(64 + 21, 512, 256, 1)

        def forward(self, numbers: Tensor, ids: Tensor) -> Any:
            first = self.bottom(numbers)
            vectors = [first, *(table(ids[:, n]) for n, table in enumerate(self.tables))]
            stacked = torch.stack(vectors, 1)
            products = stacked @ stacked.transpose(1, 2)
            upper = torch.triu_indices(len(vectors), len(vectors), 1)
            pairs = products[:, upper[0], upper[1]]
            return self.top(torch.cat([first, pairs], 1)).sigmoid()

    ids = torch.stack([torch.randint(0, n, (32, bags)) for n in rows], 1)
    return Example(Recommender(), {"numbers": torch.rand(32, dense), "ids": ids})


@example("recommender", "published design")
def wide_and_deep() -> Example:
    """Build Wide & Deep on 26 columns of one id each."""

    class Recommender(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.deep = nn.Embedding(26 * 10000, 1), nn.Embedding(26 * 10000, 16)
            layers = [nn.Linear(26 * 16 + 13, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU()]
            self.mlp = nn.Sequential(*layers, nn.Linear(512, 1))
            self.register_buffer("starts", torch.arange(26) * 10000)

        def forward(self, numbers: Tensor, ids: Tensor) -> Any:
            rows = ids + self.starts
            deep = torch.cat([self.deep(rows).flatten(1), numbers], 1)
            return (self.wide(rows).sum(1) + self.mlp(deep)).sigmoid()

    inputs = {"numbers": torch.rand(64, 13), "ids": torch.randint(0, 10000, (64, 26))}
    return Example(Recommender(), inputs)


@example("point cloud", "published design")
def pointnet() -> Example:
    """Build PointNet with its first transform, for 1024 points."""

    def layers(*widths: int) -> nn.Sequential:
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after), nn.ReLU()]
        return nn.Sequential(*parts)

    class PointNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look, self.turn = layers(3, 64, 128, 1024), nn.Linear(1024, 9)
            self.features = layers(3, 64, 64, 128, 1024)
            self.scores = nn.Sequential(nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 40))

        def forward(self, points: Tensor) -> Any:
            turn = self.turn(self.look(points).amax(2)).view(-1, 3, 3) + torch.eye(3)
            return self.scores(self.features(turn @ points).amax(2)).log_softmax(1)

    return Example(PointNet(), {"points": torch.randn(1, 3, 1024)})


@example("video", "published design")
def unet_3d() -> Example:
    """Build a small 3-D U-Net, for volumes of medicine."""

    def double(before: int, after: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in (before, after):
            convolution = nn.Conv3d(width, after, 3, padding=1)
            layers += [convolution, nn.InstanceNorm3d(after), nn.LeakyReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.down, self.bottom = double(1, 16), double(16, 32), double(32, 64)
            self.up, self.join = nn.ConvTranspose3d(64, 32, 2, 2), double(64, 32)
            self.last, self.pool = nn.Conv3d(32, 3, 1), nn.MaxPool3d(2)

        def forward(self, volume: Tensor) -> Any:
            level = self.down(self.pool(self.first(volume)))
            found = self.up(self.bottom(self.pool(level)))
            return self.last(self.join(torch.cat([level, found], 1)))

    return Example(UNet(), {"volume": torch.randn(1, 1, 32, 64, 64)})


@example("detection", "published design")
def yolo_v3_tiny() -> Example:
    """Build YOLOv3 tiny with its two heads."""

    def layer(before: int, after: int, size: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, size, padding=size // 2, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]

    class Yolo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parts = layer(3, 16, 3)
            for width in (16, 32, 64, 128):
                parts += [nn.MaxPool2d(2), *layer(width, 2 * width, 3)]
            self.fine = nn.Sequential(*parts)
            border = nn.ZeroPad2d((0, 1, 0, 1))
            coarse = [nn.MaxPool2d(2), *layer(256, 512, 3), border, nn.MaxPool2d(2, 1)]
            self.coarse = nn.Sequential(*coarse, *layer(512, 1024, 3), *layer(1024, 256, 1))
            self.large = nn.Sequential(*layer(256, 512, 3), nn.Conv2d(512, 255, 1))
            self.up = nn.Sequential(*layer(256, 128, 1), nn.Upsample(scale_factor=2))
            self.small = nn.Sequential(*layer(384, 256, 3), nn.Conv2d(256, 255, 1))

        def forward(self, image: Tensor) -> Any:
            fine = self.fine(image)
            coarse = self.coarse(fine)
            return self.large(coarse), self.small(torch.cat([self.up(coarse), fine], 1))

    return Example(Yolo(), {"image": image(416)})
