"""PyTorch modules as ONNX files, with weights that are random but of realistic scale."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from registry import Arrays, Example
from torch import Tensor, nn

OPSET = 18
"""Version of the operators; the default of PyTorch's exporter."""


def image(size: int = 224, *, batch: int = 1, channels: int = 3) -> Tensor:
    """Return a random image of zero mean."""
    return torch.randn(batch, channels, size, size)


def tokens(vocabulary: int, length: int = 128) -> Tensor:
    """Return random token ids of the vocabulary."""
    return torch.randint(1, vocabulary, (1, length))


def mask(length: int = 128) -> Tensor:
    """Return an attention mask that leaves out the last eighth, as padding."""
    found = torch.ones(1, length, dtype=torch.int64)
    found[:, length - length // 8 :] = 0
    return found


def write_example(made: Example, path: Path) -> tuple[Arrays, str]:
    """Write an ONNX file of a module.

    Args:
        made: The module and its inputs.
        path: The file.

    Returns:
        The inputs as arrays, and which exporter was used.
    """
    module = made.module.eval().requires_grad_(False)
    enliven(module, made.inputs)
    if made.tracing:
        _trace(module, made, path)
        how = "torch.onnx.export(dynamo=False)"
    else:
        how = _export(module, made, path)
    return {name: tensor.numpy() for name, tensor in made.inputs.items()}, how


def _export(module: nn.Module, made: Example, path: Path) -> str:
    shapes = {name: dict(made.dynamic.get(name, {})) for name in made.inputs}
    try:
        torch.onnx.export(
            module,
            kwargs=dict(made.inputs),
            f=path,
            input_names=list(made.inputs),
            dynamic_shapes=shapes if made.dynamic else None,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except Exception as error:
        first = str(error).strip().splitlines()[:1]
        print(f"dynamo=True failed: {type(error).__name__}: {first}", file=sys.stderr)
        _trace(module, made, path)
        return "torch.onnx.export(dynamo=False), because dynamo=True failed"
    return "torch.onnx.export(dynamo=True)"


def _trace(module: nn.Module, made: Example, path: Path) -> None:
    torch.onnx.export(
        module,
        args=(dict(made.inputs),),
        f=str(path),
        input_names=list(made.inputs),
        dynamic_axes={name: dict(axes) for name, axes in made.dynamic.items()},
        opset_version=OPSET,
        dynamo=False,
    )


def enliven(module: nn.Module, inputs: Any) -> None:
    """Make the weights as alive as trained ones.

    A fresh network has gains of 1, or of 0 at the end of a residual branch, biases of 0 and the
    statistics of no data. A wrong operator may then change nothing, and activations may overflow.
    So constant weights become random, and every normalization gets the statistics of its input.
    """
    for name, parameter in module.named_parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
            gain = parameter.dim() == 1 and "bias" not in name
            low, high = (0.5, 1.5) if gain else (-0.05, 0.05)
            nn.init.uniform_(parameter, low, high)
    normalizations = [
        part for part in module.modules() if getattr(part, "running_var", None) is not None
    ]
    hooks = [part.register_forward_pre_hook(_observe) for part in normalizations]
    if hooks:
        with torch.no_grad():
            module(**inputs)
    for hook in hooks:
        hook.remove()


def _observe(part: Any, inputs: tuple[Tensor, ...]) -> None:
    values = inputs[0].transpose(0, 1).flatten(1).float()
    part.running_mean.copy_(values.mean(1))
    if values.shape[1] > 1:
        part.running_var.copy_(values.var(1) + 1e-3)
