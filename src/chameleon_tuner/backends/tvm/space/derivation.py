"""Derivation of design spaces: the knobs behind the sampling instructions of MetaSchedule's traces.

A sketch is a trace whose decisions are open. Most knobs can be read off its instructions; which
loops a block can be moved into has to be asked of a schedule.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Instruction, LoopRV, SBlockRV, Trace

from chameleon_tuner.core.errors import ChameleonError
from chameleon_tuner.space import Choice, DesignSpace, Knob, Location, Sketch, Tile

_TILE, _CATEGORICAL, _LOCATION = KINDS = (
    "SamplePerfectTile",
    "SampleCategorical",
    "SampleComputeLocation",
)
_ROOT, _INLINED = -1, -2
_SPATIAL_ITERATION = 0  # tvm's IterVar::kDataPar

_SEED = 1
"""Seed of the schedules. It has no effect, because every decision is given."""

Place: TypeAlias = tuple[int, int]
"""A loop as a part of a tile: the number of the knob, and the number of the part."""


class UnknownInstructionError(ChameleonError):
    """The schedule rules of a target make a decision for which there is no kind of knob."""


def new_schedule(module: IRModule) -> Schedule:
    """Return a schedule of a module to which nothing was applied."""
    return Schedule(module, seed=_SEED, debug_mask=0, error_render_level="fast")


def sampling(trace: Trace) -> list[Any]:
    """Return the sampling instructions of a trace, in the order of the knobs.

    Raises:
        UnknownInstructionError: There is no kind of knob for one of them.
    """
    found = []
    for instruction in trace.insts:
        kind = instruction.kind.name
        if kind == "EnterPostproc":
            break
        if kind.startswith("Sample"):
            if kind not in KINDS:
                raise UnknownInstructionError(
                    f"there is no knob for TVM's {kind}, which the rules of this target use: tune "
                    "for another target"
                )
            found.append(instruction)
    return found


def derive(module: IRModule, generated: Sequence[Schedule]) -> DesignSpace:
    """Return the design space of a module, from the schedule that was generated for each sketch."""
    original = _Original(module)
    at_root = (_at_root(module, schedule) for schedule in generated)
    return DesignSpace(tuple(_Derivation(schedule, original).sketch() for schedule in at_root))


def _at_root(module: IRModule, generated: Schedule) -> Schedule:
    """Return a schedule like the generated one, with all blocks whose location is open at the root.

    In front of each sampling of a location it has another one with the decision to inline the
    block. TVM replaces that decision where it is not legal, and nothing uses the sampled location:
    this answers whether the block can be inlined, in the schedule that is made anyway.
    """
    trace, steps = generated.trace, list[Any]()
    decisions: dict[Any, Any] = {}
    for step in trace.insts:
        kind = step.kind.name
        if kind == _LOCATION:
            question = Instruction(step.kind, step.inputs, step.attrs, [LoopRV()])
            steps.append(question)
            decisions |= {question: _INLINED, step: _ROOT}
        elif kind in KINDS:
            decisions[step] = trace.get_decision(step)
        steps.append(step)
    if len(steps) == len(trace.insts):
        return generated
    schedule = new_schedule(module)
    Trace(steps, decisions).apply_to_schedule(schedule, remove_postproc=True)
    return schedule


class _Original:
    """A module before anything was applied to it."""

    def __init__(self, module: IRModule) -> None:
        self._module = module
        self._variables: dict[tuple[str, ...], list[Any]] = {}

    def variables(self, *block: str) -> list[Any]:
        """Return the variables of a block, given by its name and its function's."""
        if block not in self._variables:
            found = self._schedule.get(self._schedule.get_sblock(*block))
            self._variables[block] = list(found.iter_vars)
        return self._variables[block]

    @cached_property
    def _schedule(self) -> Schedule:
        return new_schedule(self._module)


class _Derivation:
    """The derivation of one sketch.

    Args:
        schedule: A schedule of the sketch, from `_at_root`.
        original: The module.
    """

    def __init__(self, schedule: Schedule, original: _Original) -> None:
        self._schedule, self._original = schedule, original
        self._trace = schedule.trace
        self._steps = [(str(step.kind.name), step) for step in self._trace.insts]
        locations = [step for kind, step in self._steps if kind == _LOCATION]
        self._question = dict(zip(locations[1::2], locations[::2], strict=True))
        questions = set(self._question.values())
        self._sampled = [s for s in self._steps if s[0] in KINDS and s[1] not in questions]

    def sketch(self) -> Sketch:
        """Return the knobs."""
        return Sketch(tuple(self._knob(kind, step) for kind, step in self._sampled))

    def _knob(self, kind: str, step: Any) -> Knob:
        if kind == _TILE:
            return self._tile(step)
        if kind == _CATEGORICAL:
            return Choice(tuple(float(value) for value in step.attrs[0]))
        answer = self._trace.get_decision(self._question[step])
        return Location(self._consumer_loops(step.inputs[0]), inlinable=answer == _INLINED)

    # -- tiles

    def _tile(self, step: Any) -> Tile:
        factors = [int(factor) for factor in self._trace.get_decision(step)]
        parts, max_innermost = (int(attr) for attr in step.attrs)
        extent = math.prod(factors)
        spatial = self._is_spatial(step.inputs[0])
        return Tile(extent, parts, max_innermost if max_innermost > 0 else extent, spatial)

    def _is_spatial(self, loop: Any) -> bool:
        """Return whether a loop is data-parallel; a fused loop is if all of its parts are.

        The loop comes from `get_loops`, `fuse` or `split`.
        """
        kind, maker = self._makers[loop]
        if kind in ("Fuse", "Split"):
            return all(self._is_spatial(i) for i in maker.inputs if isinstance(i, LoopRV))
        if kind != "GetLoops":
            return True
        # The n-th loop of a block belongs to its n-th variable. A block that was moved has the
        # loops of its new place around its own.
        variables, loops = self._variables(maker.inputs[0]), list(maker.outputs)
        around = max(0, len(loops) - len(variables))
        position = loops.index(loop) - around
        return position < 0 or bool(variables[position].iter_type == _SPATIAL_ITERATION)

    def _variables(self, block: Any) -> list[Any]:
        """Return the variables of a block, as in the original module: rfactor changes them."""
        kind, maker = self._makers[block]
        if kind == "GetSBlock":
            return self._original.variables(*map(str, maker.attrs))
        return list(self._schedule.get(block).iter_vars)

    @cached_property
    def _makers(self) -> dict[Any, tuple[str, Any]]:
        """The step that each loop and block comes from."""
        return {
            output: (kind, step)
            for kind, step in self._steps
            for output in step.outputs
            if isinstance(output, LoopRV | SBlockRV)
        }

    # -- locations

    def _consumer_loops(self, block: Any) -> tuple[Place | None, ...]:
        """Return the loops around the consumer of a block; None for one that is no part of a tile.

        The loops of a location are counted from the outermost.
        """
        places, schedule = self._places, self._schedule  # the places are asked for first
        consumers = schedule.get_consumers(block)
        if not consumers:
            return ()
        return tuple(places.get(schedule.get(loop)) for loop in schedule.get_loops(consumers[0]))

    @cached_property
    def _places(self) -> dict[Any, Place]:
        """The place of each loop of the scheduled module that is a part of a tile."""
        found: dict[Any, Place] = {}
        for number, split in self._splits():
            for part, loop in enumerate(split.outputs):
                with contextlib.suppress(ValueError, RuntimeError, IndexError):  # no such loop
                    found.setdefault(self._schedule.get(loop), (number, part))
        return found

    def _splits(self) -> Iterator[tuple[int, Any]]:
        """Yield the number of a tile's knob and the step that splits a loop by its factors."""
        factors = [
            (number, list(step.outputs))
            for number, (kind, step) in enumerate(self._sampled)
            if kind == _TILE
        ]
        for kind, step in self._steps:
            outer = step.inputs[1] if kind == "Split" else None
            if outer is not None:  # the split of a tensor intrinsic has no outer factor
                for number, outputs in factors:
                    if any(outer.same_as(output) for output in outputs):
                        yield number, step
