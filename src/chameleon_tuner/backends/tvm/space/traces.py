"""Conversion of MetaSchedule's traces to design spaces, and of configurations to schedules."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.ir import IRModule
from tvm.s_tir import Schedule, meta_schedule
from tvm.s_tir.schedule import LoopRV, Trace
from tvm.target import Target

from chameleon_tuner.backends.tvm.patches import import_intrinsics
from chameleon_tuner.backends.tvm.space.rules import generation
from chameleon_tuner.core.configuration import Configuration, ForeignTrace
from chameleon_tuner.core.errors import ChameleonError
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.space import Choice, DesignSpace, Knob, Location, Sketch, Tile

_TILE, _CATEGORICAL, _LOCATION = (
    "SamplePerfectTile",
    "SampleCategorical",
    "SampleComputeLocation",
)
_ROOT, _INLINED = -1, -2
_SPATIAL_ITERATION = 0  # tvm's IterVar::kDataPar

_SEED = 1
"""Seed of the schedules. It has no effect, because every decision is given."""


class UnknownInstructionError(ChameleonError):
    """The schedule rules of a target make a decision for which there is no kind of knob."""


@dataclass(frozen=True)
class Replayed:
    """A scheduled candidate.

    Attributes:
        schedule: The schedule after all postprocessors.
        configuration: The configuration that was read back from the schedule.
        structural_hash: Hash of the scheduled module.
    """

    schedule: Schedule
    configuration: Configuration
    structural_hash: str


class TracedSpace:
    """A task's module with its design space, which schedules the module by configurations.

    Args:
        module: A module with one PrimFunc named `main`.
        target: The target; it determines MetaSchedule's rules and postprocessors.
        design: The design space if it is known. Deriving it from the traces takes twice as long as
            everything else here.

    Attributes:
        module: The module.
        target: The target.
        design: The design space.

    Raises:
        UnknownInstructionError: The target's rules make decisions for which there is no knob.
    """

    def __init__(self, module: IRModule, target: Target, design: DesignSpace | None = None) -> None:
        import_intrinsics(str(target.kind.name), aarch64="aarch64" in str(target))
        self.module, self.target = module, target
        context = generation(module, target)
        schedules = context.generate_design_space()
        self._postprocs = list(context.space_generator.postprocs)
        self._traces = [schedule.trace for schedule in schedules]
        self._sampling = [_sampling(trace) for trace in self._traces]
        self.design = design or DesignSpace(tuple(map(self._sketch, range(len(schedules)))))

    # -- configuration -> schedule

    def replay(self, configuration: Configuration) -> Replayed:
        """Schedule the module with the decisions of a configuration.

        Raises:
            RejectedError: The configuration is not of this space, TVM cannot apply it, or a
                postprocessor refuses it.
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
        """Return the configuration with the same schedule as a trace; None if there is none.

        Args:
            trace: A trace of this task, such as one from a database.
        """
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
        """Return the schedule of another tuner's trace of this task, as that tuner had it."""
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
    """Return the decision in TVM's trace for the value of a knob at an index."""
    if isinstance(knob, Tile):
        return list(knob.value_at(index))
    return knob.values[index] if isinstance(knob, Location) else index


def index_of(knob: Knob, decision: Any) -> int:
    """Return the index of a decision in TVM's trace, the inverse of `decision_of`.

    Raises:
        KeyError: The knob is a tile that does not have these factors.
    """
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
    """Return whether a loop is data-parallel; a fused loop is if all of its parts are.

    Args:
        schedule: The schedule with the loop in its trace.
        original: A schedule of the original module.
        loop: A loop from `get_loops`, `fuse` or `split`.
    """
    maker = _maker(schedule.trace, loop)
    if maker.kind.name in ("Fuse", "Split"):
        loops = [i for i in maker.inputs if isinstance(i, LoopRV)]
        return all(_is_spatial(schedule, original, loop) for loop in loops)
    if maker.kind.name != "GetLoops":
        return True
    # The n-th loop of a block belongs to its n-th variable. The variables come from the original
    # module, because rfactor changes them later. A block that was moved has the loops of its new
    # place around its own.
    block = _maker(schedule.trace, maker.inputs[0])
    if block.kind.name == "GetSBlock":
        variables = original.get(original.get_sblock(*map(str, block.attrs))).iter_vars
    else:
        variables = schedule.get(maker.inputs[0]).iter_vars
    around = max(0, len(maker.outputs) - len(variables))
    position = next(n for n, output in enumerate(maker.outputs) if output.same_as(loop)) - around
    return position < 0 or bool(variables[position].iter_type == _SPATIAL_ITERATION)


def _maker(trace: Trace, variable: Any) -> Any:
    """Return the instruction that a random variable comes from."""
    return next(i for i in trace.insts if any(variable.same_as(output) for output in i.outputs))


def _loop_origins(schedule: Schedule, tiles: dict[int, Any]) -> list[tuple[Any, tuple[int, int]]]:
    """Find which loops of the scheduled module are which parts of the tiles.

    Args:
        schedule: The schedule.
        tiles: The sampling instructions of the tiles, by number of the knob.

    Returns:
        Pairs of a loop and its (knob, part).
    """
    origins = []
    for instruction in schedule.trace.insts:
        if instruction.kind.name != "Split" or instruction.inputs[1] is None:
            continue  # the split of a tensor intrinsic has no outer factor
        for number, tile in tiles.items():
            if any(instruction.inputs[1].same_as(output) for output in tile.outputs):
                for part, output in enumerate(instruction.outputs):
                    with contextlib.suppress(ValueError, RuntimeError, IndexError):  # no such loop
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


def load_module(text: str) -> IRModule:
    """Load a module from TVM's JSON."""
    return tvm.ir.load_json(text)
