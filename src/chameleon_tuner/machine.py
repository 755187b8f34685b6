"""This machine: the cores that this process may use, and its CPU's name and instructions."""

from __future__ import annotations

import math
import os
import platform
import re
import time
from pathlib import Path

CPU_FOLDER = Path("/sys/devices/system/cpu")
_SECOND_LEVEL_BYTES = 256 * 1024
"""At least; smaller caches are a core's first."""

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(cpus: Path = CPU_FOLDER, limit: Path = CGROUP_LIMIT) -> int:
    """Physical cores that this process may use: affinity and cgroup quota respected, at least 1.

    Hyper-threads of one core count once. Where the system does not tell, every logical CPU is
    taken for a core.
    """
    allowed = _allowed_cpus()
    physical = {_core_of(cpu, cpus) for cpu in allowed}
    return max(1, min(len(physical), _quota(limit)))


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _core_of(cpu: int, cpus: Path) -> str:
    return _text(cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu)


def _quota(limit: Path) -> int:
    """Whole cores' worth of the cgroup's quota, rounded up; unlimited where there is none."""
    try:
        quota, period = limit.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return 2**31


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that make TVM use `threads` threads in a process started with them.

    TVM takes half of the CPUs on x86 unless told. It binds thread i to CPU i, whatever the
    process's affinity: where that is not the whole machine, binding is off.
    """
    bound = _allowed_cpus() == set(range(os.cpu_count() or 1))
    return {"TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": "1" if bound else "0"}


def core_cache_bytes(cpus: Path = CPU_FOLDER) -> int:
    """Of the largest cache that the first CPU's core has to itself, behind its first.

    1 MiB where the system tells of none.
    """
    core = _core_of(0, cpus)
    own = (size for size, users in _caches(cpus) if users == core and size >= _SECOND_LEVEL_BYTES)
    return max(own, default=1024 * 1024)


def last_level_cache_bytes(cpus: Path = CPU_FOLDER) -> int:
    """Of the largest cache that the first CPU has; 32 MiB where the system does not tell."""
    return max((size for size, _ in _caches(cpus)), default=32 * 1024 * 1024)


def _caches(cpus: Path) -> list[tuple[int, str]]:
    """Bytes of the first CPU's caches, and the list of the CPUs that use each."""
    found = []
    for folder in (cpus / "cpu0" / "cache").glob("index*"):
        size, users = (_text(folder / name) for name in ("size", "shared_cpu_list"))
        if re.fullmatch(r"\d+K", size):
            found.append((int(size[:-1]) * 1024, users))
    return found


def _text(path: Path) -> str:
    """Of a file of the system; empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def process_age_secs() -> float:
    """Seconds since this process started; 0 where the system does not tell.

    From the kernel's own clock: psutil's creation time rests on a boot time in whole seconds.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of the file
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The instruction set extensions this CPU reports, in the kernel's spelling."""
    return frozenset(_cpuinfo("flags", cpuinfo).split() or _cpuinfo("Features", cpuinfo).split())


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's name as its maker gives it."""
    return _cpuinfo("model name", cpuinfo) or platform.processor() or platform.machine()


def _cpuinfo(field: str, cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
