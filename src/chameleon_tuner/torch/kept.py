"""Tuned graphs: made once, found again by later processes, and called with PyTorch's tensors."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from chameleon_tuner.backends.tvm.deploy.manifest import RUNTIME
from chameleon_tuner.backends.tvm.deploy.session import Session
from chameleon_tuner.core.agreement import TOLERANCE, difference
from chameleon_tuner.core.errors import LibraryError, ModelError, OutputError, last_line
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.system.clock import mean_secs
from chameleon_tuner.system.files import ScratchFolder, user_cache, write_whole
from chameleon_tuner.system.machine import cpu_name, usable_cores, versions
from chameleon_tuner.torch.frozen import (
    Frozen,
    NotTunableError,
    OperatorsRefusedError,
    Returned,
    digest_of,
    export,
)

LOGGER = logging.getLogger("chameleon_tuner.torch")

RETURNED = "returned.json"
"""What a graph returns besides its outputs; it is written after all that it needs."""

_DECIDING = ("chameleon-tuner", *RUNTIME)
"""Packages whose versions a tuned graph is for."""

_THROUGH = {torch.bfloat16: torch.int16}
"""Types that NumPy does not have, and those by whose bits they are passed."""


@dataclass(frozen=True)
class Tuned:
    """A tuned function of tensors.

    Attributes:
        session: Runs it.
        returned: What it returns.
        free: Positions of the arguments that it is a function of.
        slower: How much slower than PyTorch it is, for people; empty if it is not.
    """

    session: Session
    returned: Returned
    free: Sequence[int]
    slower: str = ""

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns for all its arguments."""
        given = {name: _array(arguments[number]) for name, number in self._inputs}
        outputs = self.session.run(None, given)
        tensors = [_tensor(a, kind) for a, kind in zip(outputs, self._types, strict=True)]
        return self.returned.put_together(tensors, arguments)

    @cached_property
    def _inputs(self) -> list[tuple[str, int]]:
        """The names of the session's inputs, with the positions of their arguments."""
        names = [value.name for value in self.session.get_inputs()]
        return list(zip(names, self.free, strict=True))

    @cached_property
    def _types(self) -> list[str]:
        return [value.type for value in self.session.get_outputs()]


def _array(tensor: torch.Tensor) -> Any:
    """Return a tensor as an array of the same memory."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype in _THROUGH:
        import ml_dtypes

        return tensor.view(_THROUGH[tensor.dtype]).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _tensor(array: Any, kind: str) -> torch.Tensor:
    """Return an array as a tensor of the same memory."""
    if kind == "tensor(bfloat16)":
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


def tuned(
    frozen: Frozen,
    arguments: Sequence[Any],
    code: str,
    options: Mapping[str, Any],
    *,
    program: Any = None,
    out: Path | None = None,
) -> Tuned:
    """Return a tuned function: as it was kept, or tuned now.

    Args:
        frozen: The function.
        arguments: All its arguments; the free ones are what it is verified and timed on.
        code: Its code, by which it is known again.
        options: Options of `chameleon_tuner.tune`.
        program: The function as an exported program, if it is known.
        out: The folder for the result, in place of the user's cache.

    Returns:
        The tuned function.

    Raises:
        NotTunableError: It stays in PyTorch.
    """
    key = _key(frozen, arguments, code, options, program)
    folder = _folder(key) if out is None else _given(out)
    found = _kept(folder, key, frozen)
    if found is not None:
        LOGGER.info("found a tuned graph in %s", folder)
        return found
    with MachineLock(folder.with_name(f"{folder.name}.lock")).running():  # others wait for it
        return _kept(folder, key, frozen) or _made(frozen, arguments, options, program, folder, key)


def _made(
    frozen: Frozen,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    program: Any,
    folder: Path,
    key: str,
) -> Tuned:
    """Tune a function, compare it with PyTorch, and keep it."""
    examples = [arguments[number] for number in frozen.free]
    program = program or export(frozen, examples)
    session = _tune(frozen, program, examples, folder, options)
    made = Tuned(session, frozen.returned, frozen.free)
    made = replace(made, slower=_slower(made, frozen.function, arguments))
    kept = {"key": key, "leaves": frozen.returned.leaves, "slower": made.slower}
    write_whole(folder / RETURNED, json.dumps(kept) + "\n")
    return made


def _key(
    frozen: Frozen, arguments: Sequence[Any], code: str, options: Mapping[str, Any], program: Any
) -> str:
    """Return a hash of all that a tuned function is made of, and of what it is made for."""
    weights = dict(frozen.named_buffers()) | dict(frozen.named_parameters())
    lifted = program.constants if program is not None else {}
    weights |= {n: c for n, c in lifted.items() if isinstance(c, torch.Tensor)}
    signature = [(tuple(arguments[n].shape), arguments[n].dtype) for n in frozen.free]
    plain = {n: c for n, c in frozen.constants.items() if not isinstance(c, torch.Tensor)}
    meant = (
        torch.__version__,
        torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu"),
    )
    where = versions(_DECIDING), cpu_name(), usable_cores()
    about = signature, plain, frozen.free, sorted(options.items()), meant, where
    return digest_of(code, weights, about)


_WITHOUT_CACHE: list[ScratchFolder] = []
"""Folders of a user who has no cache; they are removed when the process ends."""


def _folder(key: str) -> Path:
    cache = user_cache()
    if cache is not None:
        with contextlib.suppress(OSError):
            (cache / "torch").mkdir(parents=True, exist_ok=True)
        if os.access(cache / "torch", os.W_OK):
            return cache / "torch" / key
    _WITHOUT_CACHE.append(ScratchFolder())
    return _WITHOUT_CACHE[-1].path / key


def _given(out: Path) -> Path:
    """Return a folder that the user names, in a folder that exists then.

    Raises:
        OutputError: That cannot be made.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {out.parent}: {error.strerror}") from None
    return out


def _kept(folder: Path, key: str, frozen: Frozen) -> Tuned | None:
    """Return what is kept in a folder; None where it is not complete, or of another function."""
    try:
        found = json.loads((folder / RETURNED).read_text())
        if found["key"] != key:
            return None
        returned = Returned(found["leaves"], frozen.returned.structure)
        return Tuned(Session(folder), returned, frozen.free, found["slower"])
    except (OSError, ValueError, KeyError, TypeError, LibraryError):
        return None


def _expected(frozen: Frozen, examples: Sequence[Any]) -> list[Any]:
    """Return the outputs of PyTorch for the examples.

    Raises:
        NotTunableError: They differ from call to call, or are views of other tensors.
    """
    found = []
    for seed in (0, 1):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                outputs = frozen(*examples)
                found.append([_array(output) for output in outputs])
            except Exception as error:
                raise NotTunableError(f"PyTorch does not run it: {last_line(error)}") from None
        _refuse_views(outputs, (*examples, *frozen.buffers(), *frozen.parameters()))
    if not difference(*found) <= TOLERANCE:
        raise NotTunableError("it makes random numbers (is the module in training mode?)")
    return found[0]


def _refuse_views(outputs: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> None:
    """Raise a `NotTunableError` if an output has the memory of another tensor.

    A change of one of them in place would no longer change the other.
    """
    theirs = {other.untyped_storage().data_ptr() for other in others if other.numel()}
    mine = [output for output in outputs if output.numel()]
    places = [output.data_ptr() for output in mine]
    if theirs & {output.untyped_storage().data_ptr() for output in mine}:
        raise NotTunableError("it returns a view of an argument or of a weight")
    if len(set(places)) < len(places):
        raise NotTunableError("it returns two views of the same tensor")


def _tune(
    frozen: Frozen,
    program: Any,
    examples: Sequence[Any],
    folder: Path,
    options: Mapping[str, Any],
) -> Session:
    """Tune a function, which is also an exported program, and check that it is still the same."""
    # What was tuned before needs none of this, which takes a second to import.
    from chameleon_tuner.app.tune import tune
    from chameleon_tuner.backends.tvm.frontend.exported import ExportError, to_onnx

    try:
        model = to_onnx(program)
    except ExportError as error:
        raise OperatorsRefusedError(f"PyTorch cannot export it to ONNX: {error}") from None
    except ModelError as error:  # it changes its buffers or inputs
        raise NotTunableError(str(error)) from None
    expected = _expected(frozen, examples)
    names = [value.name for value in model.inputs]
    if len(names) != len(examples):
        raise NotTunableError("PyTorch's exporter drops some of its inputs")
    LOGGER.info("tuning a graph of %d operators into %s", len(program.graph.nodes), folder)
    samples = {name: _array(x) for name, x in zip(names, examples, strict=True)}
    result = tune(model, folder, inputs=samples, **options)
    times = ", ".join(f"{ms:.3g} ms {name}" for name, ms in result.latency_ms.items())
    LOGGER.info("tuned: %s", times)
    session = Session(folder)
    apart = difference(session.run(None, samples), expected)
    if not apart <= TOLERANCE:
        raise NotTunableError(f"tuned, its outputs differ from PyTorch's by {apart:.1g}")
    return session


def faster(found: Tuned) -> Tuned:
    """Return a tuned function that is as fast as PyTorch.

    Raises:
        NotTunableError: It is slower.
    """
    if found.slower:
        raise NotTunableError(f"nothing is gained ({found.slower})")
    return found


_ROUNDS, _ROUND_SECS, _NOT_WORTH = 5, 0.05, 1.02
"""Rounds of the comparison with PyTorch, and how much slower a tuned function may be in it."""


def _slower(made: Tuned, eager: Any, arguments: Sequence[Any]) -> str:
    """Return how much slower than PyTorch a tuned function is; empty if it is not."""
    contestants: tuple[Any, Any] = made, eager
    samples: tuple[list[float], list[float]] = [], []
    with torch.no_grad():
        for _ in range(_ROUNDS):
            for function, mine in zip(contestants, samples, strict=True):
                function(*arguments)  # threads of the other one may still spin
                mine.append(mean_secs(partial(function, *arguments), _ROUND_SECS))
    ours, theirs = (1e3 * statistics.median(mine) for mine in samples)
    return f"{ours:.3g} ms tuned, {theirs:.3g} ms in PyTorch" if ours > _NOT_WORTH * theirs else ""
