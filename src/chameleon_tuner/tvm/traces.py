"""Design spaces from MetaSchedule's traces, and schedules from configurations."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.ir import IRModule
from tvm.s_tir import Schedule, meta_schedule
from tvm.s_tir.schedule import LoopRV, Trace
from tvm.target import Target

from chameleon_tuner.errors import ChameleonError
from chameleon_tuner.measure.outcome import RejectedError
from chameleon_tuner.space import (
    Choice,
    Configuration,
    DesignSpace,
    ForeignTrace,
    Knob,
    Location,
    Sketch,
    Tile,
)
from chameleon_tuner.tvm.generation import generation
from chameleon_tuner.tvm.intrinsics import import_intrinsics
from chameleon_tuner.tvm.separable import rules as _separable  # noqa: F401 - known to MetaSchedule
from chameleon_tuner.tvm.winograd import rules as _winograd  # noqa: F401 - known to MetaSchedule

_TILE, _CATEGORICAL, _LOCATION = (
    "SamplePerfectTile",
    "SampleCategorical",
    "SampleComputeLocation",
)
_ROOT, _INLINED = -1, -2
_SPATIAL_ITERATION = 0  # tvm's IterVar::kDataPar

_SEED = 1
"""Of schedules, whose every decision is given."""


class UnknownInstructionError(ChameleonError):
    """A target's rules make a decision that there is no knob for."""


@dataclass(frozen=True)
class Replayed:
    """A scheduled candidate.

    Attributes:
        schedule: after all postprocessors.
        configuration: read back: what really ran.
        structural_hash: of the scheduled module.
    """

    schedule: Schedule
    configuration: Configuration
    structural_hash: str


class TracedSpace:
    """A task's module with its design space and the way from one to the other.

    Args:
        module: one PrimFunc named `main`.
        target: decides MetaSchedule's rules and postprocessors.
        design: the design space, where it is known: to find it takes twice as long as all else.

    Attributes:
        design: the design space.

    Raises:
        UnknownInstructionError: the target's rules make decisions that there is no knob for.
    """

    def __init__(self, module: IRModule, target: Target, design: DesignSpace | None = None) -> None:
        import_intrinsics(target)
        self.module, self.target = module, target
        context = generation(module, target)
        schedules = context.generate_design_space()
        self._postprocs = list(context.space_generator.postprocs)
        self._traces = [schedule.trace for schedule in schedules]
        self._sampling = [_sampling(trace) for trace in self._traces]
        self.design = design or DesignSpace(tuple(map(self._sketch, range(len(schedules)))))

    # -- configuration -> schedule

    def replay(self, configuration: Configuration) -> Replayed:
        """Schedule the module as a configuration says.

        Raises:
            RejectedError: it is not of this space, TVM cannot apply it, or a postprocessor
                refuses it.
        """
        if not self.design.contains(configuration):
            raise RejectedError("not a configuration of this task")
        knobs = self.design.sketches[configuration.sketch].knobs
        decisions = [
            decision_of(knob, index)
            for knob, index in zip(knobs, configuration.indices, strict=True)
        ]
        try:
            schedule = self._apply(configuration.sketch, decisions)
            read_back = self._read_back(configuration.sketch, schedule.trace)
            schedule.enter_postproc()
            refused = (p for p in self._postprocs if not p.apply(schedule))
            refusing = next(refused, None)
        except (ValueError, RuntimeError) as error:
            raise RejectedError(_last_line(error)) from None
        if refusing is not None:
            raise RejectedError(f"refused by {type(refusing).__name__}")
        return Replayed(schedule, read_back, meta_schedule.utils.shash2hex(schedule.mod))

    def _apply(self, sketch: int, decisions: list[Any]) -> Schedule:
        trace, sampling = self._traces[sketch], self._sampling[sketch]
        chosen = dict(zip(sampling, decisions, strict=True))
        schedule = Schedule(self.module, seed=_SEED, debug_mask=0, error_render_level="fast")
        Trace(trace.insts, chosen).apply_to_schedule(schedule, remove_postproc=True)
        return schedule

    def _read_back(self, sketch: int, trace: Trace) -> Configuration:
        knobs = self.design.sketches[sketch].knobs
        decisions = [trace.get_decision(instruction) for instruction in _sampling(trace)]
        indices = [index_of(k, d) for k, d in zip(knobs, decisions, strict=True)]
        return Configuration(sketch, tuple(indices))

    def configuration_of(self, trace: Trace) -> Configuration | None:
        """The configuration of a trace of this task (from a database); None where there is none."""
        mine = [(i.kind.name, i.attrs) for i in _sampling(trace)]
        for sketch, sampling in enumerate(self._sampling):
            if [str(x) for x in mine] == [str((i.kind.name, i.attrs)) for i in sampling]:
                try:
                    found = self._read_back(sketch, trace)
                    same = self.replay(found).schedule.trace.simplified(True)
                except (KeyError, RejectedError):
                    continue
                if str(same) == str(trace.simplified(True)):
                    return found
        return None

    def retraced(self, foreign: ForeignTrace) -> Schedule:
        """The schedule of another tuner's trace of this task, as its author had it."""
        schedule = Schedule(self.module, seed=_SEED, debug_mask=0, error_render_level="fast")
        Trace.apply_json_to_schedule(tvm.ir.load_json(foreign.text), schedule)
        return schedule

    # -- trace -> sketch

    def _sketch(self, number: int) -> Sketch:
        sampling = self._sampling[number]
        original = self._traces[number].decisions
        at_root = [_ROOT if i.kind.name == _LOCATION else original[i] for i in sampling]
        schedule = self._apply(number, at_root)
        replayed = _sampling(schedule.trace)
        tiles = {n: i for n, i in enumerate(replayed) if i.kind.name == _TILE}
        origins, original = _loop_origins(schedule, tiles), Schedule(self.module)
        knobs: list[Knob] = []
        for position, instruction in enumerate(replayed):
            if instruction.kind.name == _TILE:
                knobs.append(_tile(schedule, original, instruction))
            elif instruction.kind.name == _CATEGORICAL:
                knobs.append(Choice(tuple(float(value) for value in instruction.attrs[0])))
            else:
                inlined = [_INLINED if p == position else d for p, d in enumerate(at_root)]
                answer = self._apply(number, inlined).trace
                inlinable = answer.get_decision(_sampling(answer)[position]) == _INLINED
                loops = _consumer_loops(schedule, instruction.inputs[0], origins)
                knobs.append(Location(loops, inlinable))
        return Sketch(tuple(knobs))


def decision_of(knob: Knob, index: int) -> Any:
    """The decision that TVM's trace holds for the value of a knob."""
    if isinstance(knob, Tile):
        return list(knob.value_at(index))
    return knob.values[index] if isinstance(knob, Location) else index


def index_of(knob: Knob, decision: Any) -> int:
    """Inverse of `decision_of`; raises KeyError for a value that the knob does not have."""
    if isinstance(knob, Tile):
        return knob.index_of(tuple(int(factor) for factor in decision))
    return int(decision) + 2 if isinstance(knob, Location) else int(decision)


def _sampling(trace: Trace) -> list[Any]:
    found = []
    for instruction in trace.insts:
        if instruction.kind.name == "EnterPostproc":
            break
        if instruction.kind.name.startswith("Sample"):
            if instruction.kind.name not in (_TILE, _CATEGORICAL, _LOCATION):
                raise UnknownInstructionError(
                    f"there is no knob for TVM's {instruction.kind.name}, which the rules of this "
                    "target use: tune for another target"
                )
            found.append(instruction)
    return found


def _tile(schedule: Schedule, original: Schedule, instruction: Any) -> Tile:
    factors = [int(f) for f in schedule.trace.get_decision(instruction)]
    parts, max_innermost = (int(attr) for attr in instruction.attrs)
    extent = math.prod(factors)
    spatial = _is_spatial(schedule, original, instruction.inputs[0])
    return Tile(extent, parts, max_innermost if max_innermost > 0 else extent, spatial)


def _is_spatial(schedule: Schedule, original: Schedule, loop: Any) -> bool:
    """Whether a loop is data-parallel; fused ones are where all of them are.

    Args:
        schedule: whose trace has the loop.
        original: of the module before it was scheduled.
        loop: one that was made by `get_loops`, `fuse` or `split`.
    """
    maker = _maker(schedule.trace, loop)
    if maker.kind.name in ("Fuse", "Split"):
        loops = [i for i in maker.inputs if isinstance(i, LoopRV)]
        return all(_is_spatial(schedule, original, loop) for loop in loops)
    if maker.kind.name != "GetLoops":
        return True
    # The n-th loop of a block is that of its n-th variable; later rfactor gives it others. A block
    # that was moved has those of the place around its own.
    block = _maker(schedule.trace, maker.inputs[0])
    if block.kind.name == "GetSBlock":
        variables = original.get(original.get_sblock(*map(str, block.attrs))).iter_vars
    else:
        variables = schedule.get(maker.inputs[0]).iter_vars
    around = max(0, len(maker.outputs) - len(variables))
    position = next(n for n, output in enumerate(maker.outputs) if output.same_as(loop)) - around
    return position < 0 or bool(variables[position].iter_type == _SPATIAL_ITERATION)


def _maker(trace: Trace, variable: Any) -> Any:
    """The instruction that a random variable comes from."""
    return next(i for i in trace.insts if any(variable.same_as(output) for output in i.outputs))


def _loop_origins(schedule: Schedule, tiles: dict[int, Any]) -> list[tuple[Any, tuple[int, int]]]:
    """Loops of the scheduled module and which part of which tile they are."""
    origins = []
    for instruction in schedule.trace.insts:
        if instruction.kind.name != "Split" or instruction.inputs[1] is None:
            continue  # a tensor intrinsic's split has no factor outside
        for number, tile in tiles.items():
            if any(instruction.inputs[1].same_as(output) for output in tile.outputs):
                for part, output in enumerate(instruction.outputs):
                    with contextlib.suppress(ValueError, RuntimeError, IndexError):  # it is gone
                        origins.append((schedule.get(output), (number, part)))
    return origins


def _consumer_loops(
    schedule: Schedule, block: Any, origins: list[tuple[Any, tuple[int, int]]]
) -> tuple[tuple[int, int] | None, ...]:
    consumers = schedule.get_consumers(block)
    if not consumers:
        return ()
    loops = [schedule.get(loop) for loop in schedule.get_loops(consumers[0])]
    return tuple(
        next((place for origin, place in origins if origin.same_as(loop)), None) for loop in loops
    )


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__


def traced_space(
    module: str, target: Mapping[str, Any], design: DesignSpace | None = None
) -> TracedSpace:
    """The space of a task that is known by its JSON."""
    return TracedSpace(load_module(module), Target(dict(target)), design)


def load_module(text: str) -> IRModule:
    """A module from TVM's JSON."""
    return tvm.ir.load_json(text)
