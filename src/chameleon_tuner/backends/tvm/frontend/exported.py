"""PyTorch's exported programs as ONNX files, by PyTorch's own exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile, read_onnx
from chameleon_tuner.backends.tvm.frontend.sessions import short
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.system.files import ScratchFolder, require_file


class ExportError(Exception):
    """PyTorch cannot export a program to ONNX."""


SUFFIX = ".pt2"
"""What the files of `torch.export.save` end with."""


def load_program(path: Path) -> Any:
    """Return the program in a file of `torch.export.save`.

    Raises:
        ModelError: It is no such file, or PyTorch cannot read it.
    """
    require_file(path)
    try:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:
        raise ModelError(
            f"{path} is no program of torch.export.save that this PyTorch reads ({short(error)}); "
            "save it again"
        ) from None


def program_of(module: Any, example_inputs: Sequence[Any]) -> Any:
    """Return a PyTorch module as an exported program.

    Args:
        module: A module in evaluation mode.
        example_inputs: Its arguments.

    Returns:
        The program.

    Raises:
        ModelError: It is no module, is in training mode, or cannot be exported.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"example inputs are for PyTorch modules, and this is a {type(module).__name__}; "
            "leave them out"
        )
    refuse_training(module)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(module, tuple(example_inputs))
    except Exception as error:
        raise ModelError(f"torch.export refuses the module: {short(error)}") from None


def refuse_training(module: Any) -> None:
    """Raise a `ModelError` if a PyTorch module is in training mode."""
    if module.training:
        raise ModelError("the module is in training mode: call its method eval() first")


def to_onnx(program: Any, name: str = "model") -> OnnxFile:
    """Export a program to an ONNX file, which lives as long as the result.

    Args:
        program: A `torch.export.ExportedProgram`.
        name: Name of the model.

    Returns:
        The file.

    Raises:
        ModelError: The program changes its buffers or inputs, which a tuned model cannot.
        ExportError: PyTorch cannot export it.
    """
    import torch  # loaded already: there is a program

    with warnings.catch_warnings(), _silence():
        warnings.simplefilter("ignore")
        refuse_mutation(program)
    folder = ScratchFolder()
    path = folder.path / f"{name}.onnx"
    try:
        with warnings.catch_warnings(), _silence():
            warnings.simplefilter("ignore")  # the exporter uses deprecated parts of PyTorch
            torch.onnx.export(program, (), str(path), dynamo=True, verbose=False)
    except Exception as error:
        raise ExportError(short(error)) from None
    _forget_origins(path)
    return replace(read_onnx(path), keeper=folder)


def refuse_mutation(program: Any) -> None:
    """Raise a `ModelError` if a program changes more than its outputs."""
    # Only a program without operators that write in place says what it changes.
    signature = program.run_decompositions({}).graph_signature
    changed = {
        "buffer": signature.buffers_to_mutate,
        "input": getattr(signature, "user_inputs_to_mutate", {}),
    }
    for kind, mutated in changed.items():
        if mutated:
            name = next(iter(mutated.values()))
            raise ModelError(
                f"the program changes its {kind} {name!r} at every call, which a tuned model "
                "cannot; return the new value as an output, and pass the old one as an input"
            )


_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir")
"""The loggers of PyTorch's exporter and of the packages that it optimises with."""


@contextlib.contextmanager
def _silence() -> Any:
    """Keep the exporter's progress and its logs off the terminal."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _forget_origins(path: Path) -> None:
    """Remove where in the user's code nodes come from: the same program is the same file then."""
    model = onnx.load(path, load_external_data=False)
    for owner in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del owner.metadata_props[:]
        owner.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    path.write_bytes(model.SerializeToString(deterministic=True))
