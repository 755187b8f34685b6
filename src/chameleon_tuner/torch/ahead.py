"""A module tuned before it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from chameleon_tuner.core.errors import ModelError, UsageError
from chameleon_tuner.torch.dynamo import checked, say
from chameleon_tuner.torch.frozen import LITERALS, Frozen, NotTunableError, code_of, export
from chameleon_tuner.torch.kept import Tuned, tuned


class Compiled:
    """A tuned module, which is called as the module is.

    Attributes:
        folder: The folder of the tuned library.
    """

    def __init__(self, made: Tuned, structure: Any, examples: Sequence[Any]) -> None:
        self._made, self._structure, self._examples = made, structure, examples
        self.folder = made.session.folder

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module returns.

        Raises:
            UsageError: The arguments are put together in another way than the examples, or one that
                is no tensor has another value.
            LibraryError: A tensor has another shape or type than its example.
        """
        given, structure = _taken_apart(args, kwargs)
        if structure != self._structure:
            raise UsageError("the arguments are not those that the module was compiled for")
        for example, argument in zip(self._examples, given, strict=True):
            tensors = isinstance(example, torch.Tensor), isinstance(argument, torch.Tensor)
            if tensors == (True, True):
                continue
            if any(tensors) or type(argument) is not type(example) or argument != example:
                raise UsageError(
                    f"the module was compiled for the argument {example!r}, not {argument!r}"
                )
        return self._made(*given)


def _taken_apart(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the parts of arguments, and how they are put together."""
    return pytree.tree_flatten((tuple(args), dict(sorted(kwargs.items()))))


def compile(  # noqa: A001 - what torch.compile is called
    module: torch.nn.Module,
    example_inputs: Sequence[Any],
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    out: str | PathLike[str] | None = None,
    **options: Any,
) -> Compiled:
    """Tune a module ahead of time for the shapes of its example inputs.

    Args:
        module: A module in evaluation mode, on the CPU.
        example_inputs: Its arguments, with tensors of the shapes and types to tune for.
        example_kwargs: Its arguments by name.
        out: The folder of the tuned library, in place of one in the user's cache.
        **options: See `chameleon_tuner.tune`; the default is `effort="quick"`.

    Returns:
        A function that is called as the module is, without gradients.

    Raises:
        ModelError: The module is in training mode, or cannot be tuned as a whole.
        UsageError: An option is unknown.
    """
    from chameleon_tuner.backends.tvm.frontend.exported import refuse_training

    chosen = checked(None, options)
    refuse_training(module)
    given, structure = _taken_apart(example_inputs, example_kwargs or {})
    free = [number for number, given_ in enumerate(given) if isinstance(given_, torch.Tensor)]
    for argument in given:
        if not isinstance(argument, torch.Tensor | LITERALS):
            raise UsageError(
                f"an argument is a {type(argument).__name__}; give tensors, numbers and texts"
            )

    def call(*flat: Any) -> Any:
        args, kwargs = pytree.tree_unflatten(list(flat), structure)
        return module(*args, **kwargs)

    frozen = Frozen(call, given, free)
    frozen.module = module  # its weights are those of the function
    try:
        program = export(frozen, [given[number] for number in free])
        folder = Path(out) if out is not None else None
        code = code_of(program.graph_module)
        made = tuned(frozen, given, code, chosen, program=program, out=folder)
    except NotTunableError as error:
        raise ModelError(f"the module cannot be tuned: {error}") from None
    if made.slower:
        say(f"a module is slower than before: {made.slower}")
    return Compiled(made, structure, given)
