"""Recurrent networks and attention of torch.nn, and networks for sound of published designs."""

from __future__ import annotations

from typing import Any

import torch
from registry import Example, example
from torch import Tensor, nn
from torch_export import image, tokens

WORDS = 10000


class Tagger(nn.Module):
    """Embedding, a recurrent layer, and a score for every word."""

    def __init__(self, recurrent: nn.Module, width: int, scores: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 256)
        self.recurrent = recurrent
        self.scores = nn.Linear(width, scores)

    def forward(self, ids: Tensor) -> Any:
        return self.scores(self.recurrent(self.words(ids))[0])


@example("recurrent", "torch.nn")
def lstm_tagger() -> Example:
    """Build a tagger with 2 LSTM layers, in two directions."""
    recurrent = nn.LSTM(256, 384, num_layers=2, bidirectional=True, batch_first=True)
    return Example(Tagger(recurrent, 768), {"ids": tokens(WORDS, 48)}, tracing=True)


@example("recurrent", "torch.nn")
def lstm_language_model() -> Example:
    """Build a language model with 2 LSTM layers, by the exporter that is PyTorch's default."""
    recurrent = nn.LSTM(256, 512, num_layers=2, batch_first=True)
    return Example(Tagger(recurrent, 512, WORDS), {"ids": tokens(WORDS, 24)})


@example("recurrent", "torch.nn")
def gru_tagger() -> Example:
    """Build a tagger with a GRU."""
    recurrent = nn.GRU(256, 512, batch_first=True)
    return Example(Tagger(recurrent, 512), {"ids": tokens(WORDS, 48)}, tracing=True)


@example("recurrent", "torch.nn")
def rnn_tanh() -> Example:
    """Build a plain recurrent network in two directions."""
    module = nn.RNN(64, 256, num_layers=2, bidirectional=True)
    return Example(module, {"input": torch.randn(40, 1, 64)}, tracing=True)


@example("recurrent", "torch.nn")
def lstm_cell_step() -> Example:
    """Build one step of an LSTM cell, whose state is an input and an output."""
    inputs = {"input": torch.randn(1, 512), "hx": (torch.randn(1, 512), torch.randn(1, 512))}

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(512, 512)

        def forward(self, input: Tensor, hidden: Tensor, cell: Tensor) -> Any:  # noqa: A002
            return self.cell(input, (hidden, cell))

    hidden, cell = inputs["hx"]
    return Example(Step(), {"input": inputs["input"], "hidden": hidden, "cell": cell})


@example("recurrent", "torch.nn")
def crnn() -> Example:
    """Build CRNN, which reads text: convolutions, then an LSTM in two directions."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths, layers = [1, 64, 128, 256, 256, 512, 512], []
            pools: list[Any] = [2, 2, None, (2, 1), None, (2, 1)]
            for before, after, pool in zip(widths, widths[1:], pools, strict=False):
                layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)]
                layers += [nn.ReLU(), *([nn.MaxPool2d(pool)] if pool else [])]
            self.features = nn.Sequential(*layers, nn.Conv2d(512, 512, (2, 1)), nn.ReLU())
            self.recurrent = nn.LSTM(512, 256, num_layers=2, bidirectional=True)
            self.scores = nn.Linear(512, 37)

        def forward(self, image: Tensor) -> Any:
            columns = self.features(image).squeeze(2).permute(2, 0, 1)
            return self.scores(self.recurrent(columns)[0]).log_softmax(2)

    return Example(Reader(), {"image": torch.randn(1, 1, 32, 100)}, tracing=True)


@example("attention", "torch.nn")
def multihead_attention() -> Example:
    """Build one nn.MultiheadAttention."""
    inputs = {name: torch.randn(1, 128, 512) for name in ("query", "key", "value")}
    return Example(nn.MultiheadAttention(512, 8, batch_first=True), inputs)


@example("attention", "torch.nn")
def transformer_encoder() -> Example:
    """Build nn.TransformerEncoder of 6 layers."""
    layer = nn.TransformerEncoderLayer(512, 8, batch_first=True)
    return Example(nn.TransformerEncoder(layer, 6), {"src": torch.randn(1, 128, 512)})


@example("attention", "torch.nn")
def transformer_encoder_layer() -> Example:
    """Build nn.TransformerEncoderLayer with its norms first, of two texts."""
    layer = nn.TransformerEncoderLayer(512, 8, activation="gelu", norm_first=True)
    return Example(layer, {"src": torch.randn(100, 2, 512)})


@example("attention", "torch.nn")
def transformer() -> Example:
    """Build nn.Transformer of 3 and 3 layers."""
    module = nn.Transformer(256, 8, 3, 3, 1024, batch_first=True)
    return Example(module, {"src": torch.randn(1, 64, 256), "tgt": torch.randn(1, 48, 256)})


@example("sound", "published design")
def conv_tasnet() -> Example:
    """Build Conv-TasNet, which separates two voices by dilated 1-D convolutions."""

    class Block(nn.Sequential):
        def __init__(self, width: int, inner: int, dilation: int) -> None:
            super().__init__(
                nn.Conv1d(width, inner, 1),
                nn.PReLU(),
                nn.GroupNorm(1, inner),
                nn.Conv1d(inner, inner, 3, 1, dilation, dilation, groups=inner),
                nn.PReLU(),
                nn.GroupNorm(1, inner),
                nn.Conv1d(inner, width, 1),
            )

    class Separator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Conv1d(1, 512, 16, 8)
            self.narrow = nn.Sequential(nn.GroupNorm(1, 512), nn.Conv1d(512, 128, 1))
            self.blocks = nn.ModuleList(Block(128, 512, 2**power) for power in (*range(8),) * 2)
            self.mask = nn.Conv1d(128, 2 * 512, 1)
            self.decode = nn.ConvTranspose1d(512, 1, 16, 8)

        def forward(self, sound: Tensor) -> Any:
            code = self.encode(sound).relu()
            found = self.narrow(code)
            for block in self.blocks:
                found = found + block(found)
            masks = self.mask(found).sigmoid().view(2, 512, -1)
            return self.decode(masks * code)

    return Example(Separator(), {"sound": torch.randn(1, 1, 8000)})


@example("sound", "published design")
def keyword_spotter() -> Example:
    """Build DS-CNN, which finds spoken words in a spectrogram."""

    class Separable(nn.Sequential):
        def __init__(self, width: int) -> None:
            super().__init__(
                nn.Conv2d(width, width, 3, padding=1, groups=width),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )

    layers = [nn.Conv2d(1, 172, (10, 4), (2, 1), (5, 1)), nn.BatchNorm2d(172), nn.ReLU()]
    layers += [Separable(172) for _ in range(4)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(172, 12), nn.Softmax(-1)]
    return Example(nn.Sequential(*layers, *head), {"input": image(49, channels=1)[..., :10]})
