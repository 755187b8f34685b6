"""ONNX models open in onnxruntime."""

from __future__ import annotations

from typing import Any

from chameleon_tuner.core.errors import LibraryError


def open_session(
    model: str | bytes, threads: int, *, spinning: bool = True, optimized: bool = True
) -> Any:
    """Open an ONNX model in onnxruntime.

    Args:
        model: The path of a file, or its content.
        threads: Number of threads that it may use.
        spinning: Whether its threads wait actively for the next call, which is the default of
            onnxruntime.
        optimized: Whether it may compute another graph that should give the same.

    Returns:
        The session.

    Raises:
        LibraryError: onnxruntime is missing, or refuses the file.
    """
    try:
        import onnxruntime
    except ImportError:
        raise LibraryError(
            "this needs onnxruntime: install it with `pip install onnxruntime`"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        name = "the model" if isinstance(model, bytes) else model
        raise LibraryError(f"onnxruntime does not open {name}: {short(error)}") from None


def short(error: object) -> str:
    """Return the first line of an error, without what only its authors understand."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    first = lines[0] if lines else "no reason given"
    if first.startswith("[ONNXRuntimeError]"):
        first = first.split(" : ", 3)[-1]
    return first.strip()[:200]
