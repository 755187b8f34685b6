"""The default configuration of a program: its output is right, and its time is to be beaten."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chameleon_tuner.app.folder import RunRecords
from chameleon_tuner.app.program.run import REFERENCE, SCRATCH, ProgramRun
from chameleon_tuner.backends.program.handler import DefaultTimes, MakeReference
from chameleon_tuner.backends.program.learned import UNKNOWN_LIMIT_SECS, Places
from chameleon_tuner.core.errors import ProgramError
from chameleon_tuner.ports.handler import UNTUNED, Failed
from chameleon_tuner.ports.records import SEARCH, StoredTiming
from chameleon_tuner.report.program import told
from chameleon_tuner.system.files import ScratchFolder


@dataclass(frozen=True)
class Default:
    """The default configuration after its first runs.

    Attributes:
        times: What it takes.
        output: Its output, or that of the reference file.
    """

    times: DefaultTimes
    output: bytes


def measured_default(run: ProgramRun) -> Default:
    """Run the default configuration, without changing anything in the output folder.

    Raises:
        ProgramError: It fails, or its outputs differ.
    """
    run.shown.doing("running the default configuration twice")
    scratch, spec = ScratchFolder(), run.spec
    limit_secs = spec.limits.run_secs or UNKNOWN_LIMIT_SECS
    places = Places(str(spec.folder), str(scratch.path / SCRATCH), run_secs=limit_secs)
    reference = scratch.path / REFERENCE
    # Under a key of its own: what a worker learns now knows neither reference nor limit.
    task = replace(run.project.task(places), key=f"{run.project.digest} reference")
    request = MakeReference(task.key, str(reference))
    longest_secs = spec.limits.compile_secs + 4 * limit_secs + 60
    try:
        times = run.ask(task, request, longest_secs)
    except Failed as failure:
        values = told(spec.default)
        raise ProgramError(f"the default configuration ({values}) fails: {failure.told}") from None
    return Default(times, reference.read_bytes())


def default_times(run: ProgramRun, records: RunRecords, default: Default | None) -> DefaultTimes:
    """Return what the default configuration takes, as this run has recorded it.

    It is measured where it was not yet, and recorded after the reference: a run that is killed in
    between measures it again.

    Args:
        run: The run.
        records: The records of the run.
        default: What was measured before there were records; None where it was not.

    Returns:
        Its times.
    """
    found = {t.subject: t.seconds for t in records.store.timings(records.run_id)}
    if default is None and f"{UNTUNED} wall clock" in found:
        [build_secs] = found[f"{UNTUNED} build"]
        secs, wall_secs = found[f"{UNTUNED} run"], found[f"{UNTUNED} wall clock"]
        return DefaultTimes(build_secs, secs, wall_secs)
    default = default or measured_default(run)
    (run.out / REFERENCE).write_bytes(default.output)
    times = default.times
    for name, seconds in (
        ("build", (times.build_secs,)),
        ("run", times.secs),
        ("wall clock", times.wall_secs),
    ):
        timing = StoredTiming(run.project.digest, f"{UNTUNED} {name}", SEARCH, seconds)
        records.store.add_timing(records.run_id, records.environment, timing)
    return times
