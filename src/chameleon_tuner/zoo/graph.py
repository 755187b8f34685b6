"""A small builder of ONNX graphs with static shapes and weights from a seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]

OPSET = 17
IR_VERSION = 8
"""The IR version that came with opset 17. onnxruntime refuses versions newer than itself."""

RELU_GAIN = math.sqrt(2.0)
"""He's gain: it preserves the mean square of activations through a layer followed by a ReLU."""
LINEAR_GAIN = 1.0
"""The gain that preserves the mean square of activations through a layer without a ReLU."""

OUTPUT = "output"
BIAS_STD = 0.1


class Tensor(NamedTuple):
    """A value of the graph.

    Attributes:
        name: Name in the ONNX graph.
        shape: Static shape; (batch, channels, height, width) for images.
    """

    name: str
    shape: Shape


class Graph:
    """A graph under construction, in which the shape of every value is known.

    All weights come from one generator, in the order in which layers are added. So a seed gives
    bit-identical weights in every process.

    Args:
        name: Name of the graph in the ONNX file.
        seed: Seed of the weights, not negative.
    """

    def __init__(self, name: str, seed: int) -> None:
        self._proto = onnx.GraphProto(name=name)
        self._rng = np.random.default_rng(seed)
        self._names: Counter[str] = Counter()

    def input(self, name: str, shape: Shape, element: int = TensorProto.FLOAT) -> Tensor:
        """Declare an input.

        Args:
            name: Name of the input.
            shape: Static shape.
            element: ONNX element type.

        Returns:
            The input.
        """
        self._proto.input.append(helper.make_tensor_value_info(name, element, shape))
        return Tensor(name, shape)

    def fresh(self, kind: str) -> str:
        """Return an unused name: `kind` and the number of earlier names of that kind."""
        self._names[kind] += 1
        return f"{kind}_{self._names[kind] - 1}"

    def constant(self, name: str, array: npt.ArrayLike) -> Tensor:
        """Add an initializer with the values, the dtype and the shape of an array."""
        values = np.asarray(array)
        self._proto.initializer.append(numpy_helper.from_array(values, name))
        return Tensor(name, values.shape)

    def weight(self, name: str, shape: Shape, std: float, mean: float = 0.0) -> Tensor:
        """Add a float32 initializer that is drawn from a normal distribution.

        Args:
            name: Name of the initializer.
            shape: Its shape.
            std: Standard deviation of the distribution.
            mean: Mean of the distribution.

        Returns:
            The initializer.
        """
        values = self._rng.standard_normal(shape, dtype=np.float32)
        values *= np.float32(std)
        values += np.float32(mean)
        return self.constant(name, values)

    def node(self, op: str, inputs: Sequence[Tensor], shape: Shape, **attributes: Any) -> Tensor:
        """Add a node with one float32 output.

        Args:
            op: The ONNX operator.
            inputs: Inputs in the operator's order.
            shape: Shape of the output, computed by the caller.
            attributes: Attributes of the operator.

        Returns:
            The output.
        """
        name = self.fresh(op.lower())
        names = [tensor.name for tensor in inputs]
        self._proto.node.append(helper.make_node(op, names, [name], name=name, **attributes))
        self._proto.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Tensor(name, shape)

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        gain: float = RELU_GAIN,
    ) -> Tensor:
        """Add a square convolution with bias.

        Args:
            x: Input of shape (1, in_channels, height, width).
            channels: Channels of the output.
            kernel: Side of the window in pixels.
            stride: Stride of the window in pixels.
            padding: Width of the zero padding on each side in pixels.
            groups: 1, or `channels` for a depthwise convolution.
            gain: Root mean square of the outputs divided by that of the inputs.

        Returns:
            The output of shape (1, channels, height', width').
        """
        fan_in = x.shape[1] // groups
        weight_shape = (channels, fan_in, kernel, kernel)
        size = _windows(x.shape, kernel, stride, padding)
        return self.node(
            "Conv",
            (x, *self._weights(weight_shape, gain)),
            (x.shape[0], channels, *size),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[padding] * 4,
            group=groups,
        )

    def gemm(self, x: Tensor, units: int, gain: float = RELU_GAIN) -> Tensor:
        """Add a dense layer with bias.

        The weight has shape (units, features) and `transB` is set, as exporters write it.

        Args:
            x: Input of shape (rows, features).
            units: Features of the output.
            gain: Root mean square of the outputs divided by that of the inputs.

        Returns:
            The output of shape (rows, units).
        """
        rows, features = x.shape
        operands = (x, *self._weights((units, features), gain))
        return self.node("Gemm", operands, (rows, units), transB=1)

    def max_pool(self, x: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
        """Add a square max pool.

        Args:
            x: Input of shape (1, channels, height, width).
            kernel: Side of the window in pixels.
            stride: Stride of the window in pixels.
            padding: Width of the padding on each side in pixels.

        Returns:
            The output of shape (1, channels, height', width').
        """
        shape = (*x.shape[:2], *_windows(x.shape, kernel, stride, padding))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
        return self.node("MaxPool", (x,), shape, **window)

    def global_average_pool(self, x: Tensor) -> Tensor:
        """Add the mean of each channel: (1, channels, height, width) to (1, channels, 1, 1)."""
        return self.node("GlobalAveragePool", (x,), (*x.shape[:2], 1, 1))

    def flatten(self, x: Tensor) -> Tensor:
        """Add a node that joins all axes but the first: (rows, ...) to (rows, features)."""
        return self.node("Flatten", (x,), (x.shape[0], math.prod(x.shape[1:])), axis=1)

    def relu(self, x: Tensor) -> Tensor:
        """Add max(x, 0), which has the shape of `x`."""
        return self.node("Relu", (x,), x.shape)

    def relu6(self, x: Tensor) -> Tensor:
        """Add min(max(x, 0), 6) as a Clip node; it has the shape of `x`."""
        return self.node("Clip", (x, self._scalar(0.0), self._scalar(6.0)), x.shape)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """Add the sum a + b, where `b` broadcasts to the shape of `a`."""
        return self.node("Add", (a, b), a.shape)

    def scale(self, op: str, x: Tensor, value: float) -> Tensor:
        """Add a node that combines a tensor with a scalar.

        Args:
            op: Add, Mul or Div.
            x: First operand.
            value: Second operand.

        Returns:
            The output, which has the shape of `x`.
        """
        return self.node(op, (x, self._scalar(value)), x.shape)

    def model(self, output: Tensor) -> onnx.ModelProto:
        """Return the finished model with one output, named "output".

        Args:
            output: The output of the node that was added last.
        """
        last, shape_info = self._proto.node[-1], self._proto.value_info.pop()
        if last.output[0] != output.name:
            raise ValueError(f"{output.name} is not the last node's output")
        last.output[0] = shape_info.name = OUTPUT
        self._proto.output.append(shape_info)
        return helper.make_model(
            self._proto,
            producer_name="chameleon_tuner.zoo",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )

    def _weights(self, shape: Shape, gain: float) -> tuple[Tensor, Tensor]:
        """Add the weight (outputs, ...) and bias (outputs,) of a layer that scales by `gain`."""
        layer = self.fresh("layer")
        fan_in = math.prod(shape[1:])
        weight = self.weight(f"{layer}.weight", shape, gain / math.sqrt(fan_in))
        return weight, self.weight(f"{layer}.bias", shape[:1], BIAS_STD)

    def _scalar(self, value: float) -> Tensor:
        name = f"scalar_{value:g}"
        if name in self._names:
            return Tensor(name, ())
        self._names[name] += 1
        return self.constant(name, np.float32(value))


def _windows(shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    """Return how many windows fit into the height and the width of an image."""
    return tuple((size + 2 * padding - kernel) // stride + 1 for size in shape[2:])
