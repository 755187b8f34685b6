"""Write the networks of the corpus as ONNX files, each in a process of its own."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from registry import NETWORKS, Network

KINDS = (
    "vision", "detection", "language", "perception", "sequences", "others", "quantized", "wheels",
)  # fmt: skip
"""The modules that fill the registry."""

HEAVY = ("timm", "transformers", "onnxscript", "torch.onnx", "onnxruntime")
"""Packages that take seconds to import; no process needs to do it again."""

LIMIT_SECS = 600
MODEL, INPUTS, ENTRY, LOG = "model.onnx", "inputs.npz", "entry.json", "export.log"


@dataclass(frozen=True)
class Entry:
    """What is known of an exported network; `entry.json` uses the same names.

    Attributes:
        name: See `registry.Network`.
        family: See `registry.Network`.
        origin: See `registry.Network`.
        made: How the file was made.
        shapes: Shapes of the inputs with open dimensions.
        values: Whether the network needs real values as inputs, because it has integers or
            Booleans: token ids of a vocabulary, masks, a sampling rate.
        nodes: Nodes of the graph.
        parameters: Numbers in its weights.
        file_bytes: Size of the file.
        finite: Whether the outputs of onnxruntime are finite.
        export_secs: Seconds of the export.
    """

    name: str
    family: str
    origin: str
    made: str
    shapes: dict[str, list[int]]
    values: bool
    nodes: int
    parameters: int
    file_bytes: int
    finite: bool
    export_secs: float


Named = TypeVar("Named", Entry, Network)


def networks() -> dict[str, Network]:
    """Return the registry, and import what takes long before any process is forked."""
    from operators import load_torchvision

    load_torchvision()
    for module in (*KINDS, *HEAVY):
        importlib.import_module(module)
    return NETWORKS


def entries(folder: Path, names: Sequence[str] = ()) -> list[Entry]:
    """Return the exported networks of a folder, or those of the given names and families."""
    found = [Entry(**json.loads(path.read_text())) for path in sorted(folder.glob(f"*/{ENTRY}"))]
    return _chosen(found, names)


def _chosen(all_known: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """Return those of the given names and families; all if there are none."""
    known = {word for one in all_known for word in (one.name, one.family)}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no network or family is called {unknown[0]}; `list` prints all of them")
    return [one for one in all_known if not names or one.name in names or one.family in names]


def export(folder: Path, names: Sequence[str]) -> int:
    """Export networks that the folder does not have yet.

    Args:
        folder: The folder of the corpus.
        names: Names of networks or families; all if empty.

    Returns:
        The number of networks that could not be exported.
    """
    chosen = [network.name for network in _chosen(list(networks().values()), names)]
    missing = [name for name in chosen if not (folder / name / ENTRY).exists()]
    failed = 0
    for number, name in enumerate(missing, 1):
        begin = time.monotonic()
        why = _export_apart(folder, name)
        failed += bool(why)
        took = f"{time.monotonic() - begin:.0f} s"
        print(f"{number}/{len(missing)} {name}: {why or 'exported'}, {took}", flush=True)
    return failed


def _export_apart(folder: Path, name: str) -> str:
    """Export a network in a process; return why it failed, or nothing."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=_logged, args=(folder, name))
    process.start()
    process.join(LIMIT_SECS)
    if process.is_alive():
        process.kill()
        process.join()
    if (place / ENTRY).exists():
        return ""
    lines = (place / LOG).read_text().strip().splitlines() or ["no message"]
    return f"FAILED with {process.exitcode}, {lines[-1][:300]}"


def _logged(folder: Path, name: str) -> None:
    with (folder / name / LOG).open("w") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    export_here(networks()[name], folder)


def export_here(network: Network, folder: Path) -> None:
    """Export a network in this process and check that onnxruntime runs it.

    Args:
        network: The network.
        folder: The folder of the corpus.
    """
    import torch

    torch.manual_seed(0)
    begin = time.monotonic()
    place = folder / network.name
    inputs, made = network.write(place / MODEL, folder)
    np.savez(place / INPUTS, **inputs)
    entry = Entry(
        name=network.name,
        family=network.family,
        origin=network.origin,
        made=made,
        values=any(array.dtype.kind in "iub" for array in inputs.values()),
        finite=_runs(place / MODEL, inputs),
        export_secs=round(time.monotonic() - begin, 1),
        **_facts(place / MODEL, inputs),
    )
    (place / ENTRY).write_text(json.dumps(asdict(entry), indent=1))


def _runs(path: Path, inputs: dict[str, Any]) -> bool:
    """Run the file once; return whether all outputs are finite."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, inputs)
    for output, array in zip(session.get_outputs(), outputs, strict=True):
        print(f"output {output.name}: {array.dtype} {array.shape}, spread {array.std():.3g}")
    return all(bool(np.isfinite(array).all()) for array in outputs)


def _facts(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    import onnx

    model = onnx.load(path)
    open_inputs = [
        value.name
        for value in model.graph.input
        if any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
    ]
    graphs = [inner for graph in (model.graph, *model.functions) for inner in _nested(graph)]
    return {
        "shapes": {name: list(inputs[name].shape) for name in open_inputs if name in inputs},
        "nodes": sum(len(graph.node) for graph in graphs),
        "parameters": sum(int(np.prod(t.dims)) for graph in graphs for t in _weights(graph)),
        "file_bytes": path.stat().st_size,
    }


def _nested(graph: Any) -> Iterator[Any]:
    """Yield a graph or function, and all graphs inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nested(attribute.g)


def _weights(graph: Any) -> Iterator[Any]:
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
