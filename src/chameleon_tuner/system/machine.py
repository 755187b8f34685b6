"""Properties of this machine: usable cores, caches, memory, CPU, and versions of packages."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from chameleon_tuner.core.errors import ChameleonError

CPU_FOLDER = Path("/sys/devices/system/cpu")
_SECOND_LEVEL_BYTES = 256 * 1024
"""The smallest size of a second-level cache; a smaller cache is taken for a first-level one."""

_QUOTA, _QUOTA_OF_V1, _PERIOD_OF_V1 = "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"
_LIMIT, _LIMIT_OF_V1 = "memory.max", "memory.limit_in_bytes"
"""Files of cgroups with their limits of processors and memory."""


def require_linux() -> None:
    """Raise a `ChameleonError` on another system: workers, locks and libraries are Linux's."""
    if sys.platform != "linux":
        raise ChameleonError(
            f"Chameleon runs on Linux, and this is {sys.platform}; use a machine or a container "
            "with Linux, or WSL 2"
        )


def usable_cores(cpus: Path = CPU_FOLDER, groups: Sequence[Path] | None = None) -> int:
    """Return the number of physical cores that this process may use, at least 1.

    The process's affinity and the quotas of its cgroups limit the number. Hyper-threads of one core
    count once. If the system does not report its topology, every logical CPU counts as a core.

    Args:
        cpus: Folder in which the kernel describes the CPUs.
        groups: Folders of the process's cgroups; found where they are not given.
    """
    physical = {_core_of(cpu, cpus) for cpu in _allowed_cpus()}
    quotas = map(_quota, cgroups("cpu") if groups is None else groups)
    return max(1, min(len(physical), *quotas, 2**31))


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _core_of(cpu: int, cpus: Path) -> str:
    return _text(cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu)


def _quota(group: Path) -> int:
    """Return a cgroup's quota as a number of cores, rounded up; 2**31 if there is no quota."""
    numbers = (
        _text(group / _QUOTA) or f"{_text(group / _QUOTA_OF_V1)} {_text(group / _PERIOD_OF_V1)}"
    )
    try:
        quota, period = map(int, numbers.split())
        return math.ceil(quota / period) if quota > 0 else 2**31
    except (ValueError, ZeroDivisionError):
        return 2**31


def thread_environment(threads: int) -> dict[str, str]:
    """Return environment variables that make TVM use `threads` threads in a new process.

    By default TVM uses half of the CPUs on x86, and binds thread i to CPU i, whatever the process's
    affinity. Bound threads wait for whatever else runs on their CPU, so they are not unless
    `TVM_BIND_THREADS` asks for it: with one other process at nice 10 on two cores a tuned
    DenseNet-121 took 350 ms instead of 724, and with none as long as before.
    """
    bound = os.environ.get("TVM_BIND_THREADS", "0")
    return {"TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": bound}


def memory_bytes(groups: Sequence[Path] | None = None) -> int:
    """Return the bytes of memory that this process may use: the machine's, or its cgroups' limit.

    Args:
        groups: Folders of the process's cgroups; found where they are not given.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for group in cgroups("memory") if groups is None else groups:
        text = _text(group / _LIMIT) or _text(group / _LIMIT_OF_V1)
        if text.isdecimal():
            total = min(total, int(text))
    return total


def cgroups(
    controller: str,
    membership: Path = Path("/proc/self/cgroup"),
    root: Path = Path("/sys/fs/cgroup"),
) -> list[Path]:
    """Return the folders of the cgroups that may limit this process: its own and all above it.

    Args:
        controller: What they limit: `cpu` or `memory`.
        membership: File that lists the cgroups of the process, of version 2 and of version 1.
        root: Folder where cgroups are mounted.

    Returns:
        The folders, each before those above it.
    """
    found = []
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        group = base / path.lstrip("/")
        found += [place for place in (group, *group.parents) if place.is_relative_to(base)]
    return found


def core_cache_bytes(cpus: Path = CPU_FOLDER) -> int:
    """Return the size in bytes of the largest private cache of the first CPU's core.

    First-level caches do not count. The size is 1 MiB if the system reports no other private cache.
    """
    core = _core_of(0, cpus)
    own = (size for size, users in _caches(cpus) if users == core and size >= _SECOND_LEVEL_BYTES)
    return max(own, default=1024 * 1024)


def last_level_cache_bytes(cpus: Path = CPU_FOLDER) -> int:
    """Return the size in bytes of the first CPU's largest cache; 32 MiB if it is unknown."""
    return max((size for size, _ in _caches(cpus)), default=32 * 1024 * 1024)


def _caches(cpus: Path) -> list[tuple[int, str]]:
    """Return the size in bytes of each cache of the first CPU, and the list of CPUs that use it."""
    found = []
    for folder in (cpus / "cpu0" / "cache").glob("index*"):
        size, users = (_text(folder / name) for name in ("size", "shared_cpu_list"))
        if re.fullmatch(r"\d+K", size):
            found.append((int(size[:-1]) * 1024, users))
    return found


def _text(path: Path) -> str:
    """Return the text of a system file; empty if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def process_age_secs() -> float:
    """Return the seconds since this process started; 0 if the system does not report it.

    The time comes from the kernel's own clock, because psutil's creation time is based on a boot
    time in whole seconds.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of the file
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the instruction set extensions that this CPU reports, in the kernel's spelling."""
    return frozenset(_cpuinfo("flags", cpuinfo).split() or _cpuinfo("Features", cpuinfo).split())


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's name as its manufacturer spells it."""
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


_PACKAGES = ("chameleon-tuner", "apache-tvm", "apache-tvm-ffi", "torch", "xgboost-cpu", "numpy")


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of packages, of those that are installed.

    Args:
        packages: Their names; those that decide over results without it.
    """
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
