"""Converters of recurrent layers, unrolled over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, stacked
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    const,
    dtype_of,
    numpy_dtype,
    scalar,
    shape_of,
)

_op: Any = relax.op

_MOST_STEPS = 64
"""Steps of the longest sequence that is unrolled; every step is a few kernels."""

Activation = Callable[[Expr], Expr]


def _activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    """Return an activation function by its name in ONNX."""
    a, b = alpha, beta
    known: dict[str, Activation] = {
        "relu": lambda x: _op.maximum(scalar(0, x), x),
        "tanh": _op.tanh,
        "sigmoid": _op.sigmoid,
        "softsign": lambda x: _op.divide(x, _op.add(scalar(1, x), _op.abs(x))),
        "softplus": lambda x: _op.log(_op.add(scalar(1, x), _op.exp(x))),
        "affine": lambda x: _op.add(
            _op.multiply(scalar(1.0 if a is None else a, x), x), scalar(b or 0.0, x)
        ),
        "leakyrelu": lambda x: _op.nn.leakyrelu(x, 0.01 if a is None else a),
        "hardsigmoid": lambda x: _op.minimum(
            scalar(1, x),
            _op.maximum(
                scalar(0, x),
                _op.add(
                    _op.multiply(scalar(0.2 if a is None else a, x), x),
                    scalar(0.5 if b is None else b, x),
                ),
            ),
        ),
    }
    if name.lower() not in known:
        raise ValueError(f"the activation {name} is not supported")
    return known[name.lower()]


@dataclass(frozen=True)
class _Layer:
    """One direction of a layer.

    Attributes:
        weight: Weights of the input, (gates * hidden, inputs).
        recurrence: Weights of the state, (gates * hidden, hidden).
        biases: Biases of both, each (gates * hidden).
        peepholes: Weights of the cell in an LSTM's gates; None without.
        activations: The activation functions.
        hidden: Size of the state.
        clip: Largest input of an activation; None for no limit.
    """

    weight: Expr
    recurrence: Expr
    biases: tuple[Expr, Expr]
    peepholes: Expr | None
    activations: Sequence[Activation]
    hidden: int
    clip: float | None


Step = Callable[[Node, _Layer, Expr, list[Expr]], list[Expr]]
"""Computes the next states from an input and the states."""


def _part(node: Node, data: Expr, axis: int, number: int, size: int = 1) -> Expr:
    cut = _op.strided_slice(data, [axis], [number * size], [(number + 1) * size], [1])
    return node.emit(cut)


def _row(node: Node, data: Expr, number: int) -> Expr:
    return node.emit(_op.squeeze(_part(node, data, 0, number), [0]))


def _gate(node: Node, data: Expr, layer: _Layer, number: int) -> Expr:
    """Return the part of a gate in a tensor that holds all of them in its last axis."""
    return _part(node, data, len(shape_of(data)) - 1, number, layer.hidden)


def _bent(layer: _Layer, number: int, data: Expr) -> Expr:
    if layer.clip is not None:
        high, low = scalar(layer.clip, data), scalar(-layer.clip, data)
        data = _op.minimum(high, _op.maximum(low, data))
    return layer.activations[number](data)


def _linear(node: Node, layer: _Layer, given: Expr, state: Expr) -> tuple[Expr, Expr]:
    """Return the gates' contributions of the input and of the state."""
    parts = []
    for value, weight, bias in zip(
        (given, state), (layer.weight, layer.recurrence), layer.biases, strict=True
    ):
        product = node.emit(_op.matmul(value, node.emit(_op.permute_dims(weight, [1, 0]))))
        parts.append(node.emit(_op.add(product, bias)))
    return parts[0], parts[1]


def _rnn(node: Node, layer: _Layer, given: Expr, states: list[Expr]) -> list[Expr]:
    mine, theirs = _linear(node, layer, given, states[0])
    return [node.emit(_bent(layer, 0, node.emit(_op.add(mine, theirs))))]


def _gru(node: Node, layer: _Layer, given: Expr, states: list[Expr]) -> list[Expr]:
    (state,) = states
    mine, theirs = _linear(node, layer, given, state)
    gates = [
        node.emit(
            _bent(layer, 0, _op.add(_gate(node, mine, layer, n), _gate(node, theirs, layer, n)))
        )
        for n in (0, 1)
    ]
    update, reset = gates
    if node.attributes.get("linear_before_reset"):
        inner = _op.multiply(reset, _gate(node, theirs, layer, 2))
    else:
        weight = _part(node, layer.recurrence, 0, 2, layer.hidden)
        product = _op.matmul(
            node.emit(_op.multiply(reset, state)), node.emit(_op.permute_dims(weight, [1, 0]))
        )
        inner = _op.add(product, _gate(node, layer.biases[1], layer, 2))
    fresh = node.emit(
        _bent(layer, 1, node.emit(_op.add(_gate(node, mine, layer, 2), node.emit(inner))))
    )
    kept = _op.multiply(update, state)
    return [node.emit(_op.add(_op.multiply(_op.subtract(scalar(1, update), update), fresh), kept))]


def _lstm(node: Node, layer: _Layer, given: Expr, states: list[Expr]) -> list[Expr]:
    state, cell = states
    total = node.emit(_op.add(*_linear(node, layer, given, state)))
    gates = [
        _gate(node, total, layer, number) for number in range(4)
    ]  # input, output, forget, cell

    def peeped(number: int, value: Expr) -> Expr:
        if layer.peepholes is None:
            return gates[number]
        weights = _gate(node, layer.peepholes, layer, number)
        return node.emit(_op.add(gates[number], _op.multiply(weights, value)))

    forget = node.emit(_bent(layer, 0, peeped(2, cell)))
    if node.attributes.get("input_forget"):
        enter = node.emit(_op.subtract(scalar(1, forget), forget))
    else:
        enter = node.emit(_bent(layer, 0, peeped(0, cell)))
    fresh = node.emit(_bent(layer, 1, gates[3]))
    cell = node.emit(_op.add(_op.multiply(forget, cell), _op.multiply(enter, fresh)))
    leave = node.emit(_bent(layer, 0, peeped(1, cell)))
    return [node.emit(_op.multiply(leave, layer.activations[2](cell))), cell]


def _recurrent(step: Step, states: int, defaults: Sequence[str], cell: int) -> Rule:
    """Return the rule of a layer.

    Args:
        step: The step.
        states: Number of its states.
        defaults: Names of its activations.
        cell: Number of the input with the peepholes; 0 for none.

    Returns:
        The rule.
    """

    def rule(node: Node) -> list[Expr]:
        batch_first = bool(node.attributes.get("layout"))
        data = node.x
        if batch_first:
            data = node.emit(_op.permute_dims(data, [1, 0, 2]))
        if shape_of(data)[0] > _MOST_STEPS:
            raise ValueError(f"its sequence has more than {_MOST_STEPS} steps")
        direction = node.text("direction", "forward")
        ways = [False, True] if direction == "bidirectional" else [direction == "reverse"]
        found = []
        for number, back in enumerate(ways):
            layer = _layer(node, number, defaults, cell)
            begin = [_initial(node, layer, n, number, data) for n in range(states)]
            found.append(_run(node, layer, step, data, begin, back))
        whole = stacked(node, [every for every, _ in found], 1)
        last = [stacked(node, [ends[n] for _, ends in found], 0) for n in range(states)]
        if batch_first:
            whole = node.emit(_op.permute_dims(whole, [2, 0, 1, 3]))
            last = [node.emit(_op.permute_dims(state, [1, 0, 2])) for state in last]
        return [whole, *last]

    return rule


def _layer(node: Node, number: int, defaults: Sequence[str], cell: int) -> _Layer:
    hidden = int(node.attributes["hidden_size"])
    weight, recurrence = (_row(node, node.inputs[n], number) for n in (1, 2))
    gates = shape_of(weight)[0]
    bias = node.input(3)
    if bias is None:
        zeros = const(np.zeros(gates, numpy_dtype(dtype_of(node.x))))
        biases = zeros, zeros
    else:
        row = _row(node, bias, number)
        biases = _part(node, row, 0, 0, gates), _part(node, row, 0, 1, gates)
    peepholes = node.input(cell) if cell else None
    names = [name.decode() for name in node.attributes.get("activations", ())] or [*defaults] * 2
    mine = slice(number * len(defaults), (number + 1) * len(defaults))
    alphas, betas = (list(node.attributes.get(f"activation_{g}", ())) for g in ("alpha", "beta"))
    pad = [None] * 2 * len(defaults)
    activations = [
        _activation(*triple)
        for triple in zip(names[mine], (alphas + pad)[mine], (betas + pad)[mine], strict=True)
    ]
    return _Layer(
        weight,
        recurrence,
        biases,
        None if peepholes is None else _row(node, peepholes, number),
        activations,
        hidden,
        node.attributes.get("clip"),
    )


def _initial(node: Node, layer: _Layer, state: int, number: int, data: Expr) -> Expr:
    given = node.input(5 + state)
    if given is None:
        extents = [shape_of(data)[1], layer.hidden]
        return const(np.zeros(extents, numpy_dtype(dtype_of(data))))
    if node.attributes.get("layout"):
        given = node.emit(_op.permute_dims(given, [1, 0, 2]))
    return _row(node, given, number)


def _run(
    node: Node, layer: _Layer, step: Step, data: Expr, states: list[Expr], back: bool
) -> tuple[Expr, list[Expr]]:
    """Return the outputs of all steps and the last states."""
    steps, lengths = shape_of(data)[0], node.input(4)
    outputs: list[Any] = [None] * steps
    for time in reversed(range(steps)) if back else range(steps):
        following = step(node, layer, _row(node, data, time), states)
        output = following[0]
        if lengths is not None:
            inside = _op.less(const(np.asarray(time, dtype_of(lengths))), lengths)
            inside = node.emit(_op.expand_dims(inside, 1))
            output = node.emit(_op.where(inside, output, scalar(0, output)))
            following = [
                node.emit(_op.where(inside, new, old))
                for new, old in zip(following, states, strict=True)
            ]
        outputs[time], states = output, following
    return stacked(node, outputs, 0), states


RULES: dict[str, Rule] = {
    "GRU": _recurrent(_gru, 1, ("Sigmoid", "Tanh"), 0),
    "LSTM": _recurrent(_lstm, 2, ("Sigmoid", "Tanh", "Tanh"), 7),
    "RNN": _recurrent(_rnn, 1, ("Tanh",), 0),
}
