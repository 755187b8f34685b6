from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chameleon_tuner.cli import main
from chameleon_tuner.core.errors import ChameleonError
from chameleon_tuner.system import machine


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The CPUs that the process may use; the test fills it."""
    allowed: set[int] = set()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(allowed), raising=False)
    return allowed


def topology(folder: Path, siblings: dict[int, str]) -> Path:
    for cpu, listed in siblings.items():
        path = folder / f"cpu{cpu}" / "topology"
        path.mkdir(parents=True)
        (path / "thread_siblings_list").write_text(listed + "\n")
    return folder


FOUR_CORES_EIGHT_THREADS = {cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)}


@pytest.mark.parametrize(
    ("allowed", "cores"), [(range(8), 4), ([0, 4], 1), ([0, 1, 4], 2), ([5], 1)]
)
def test_hyper_threads_of_a_core_count_once(
    affinity: set[int], tmp_path: Path, allowed: range, cores: int
) -> None:
    affinity.update(allowed)
    cpus = topology(tmp_path, FOUR_CORES_EIGHT_THREADS)
    assert machine.usable_cores(cpus, []) == cores


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 4),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("1600000 100000", 4),
        ("nonsense", 4),
        ("", 4),
    ],
)
def test_the_quota_of_the_container_counts(
    affinity: set[int], tmp_path: Path, quota: str, cores: int
) -> None:
    affinity.update(range(8))
    cpus = topology(tmp_path, FOUR_CORES_EIGHT_THREADS)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert machine.usable_cores(cpus, [tmp_path / "missing", tmp_path]) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 4), ("200000", 2), ("150000", 2), ("", 4)])
def test_the_quota_of_cgroups_of_version_1_counts(
    affinity: set[int], tmp_path: Path, quota: str, cores: int
) -> None:
    affinity.update(range(8))
    cpus = topology(tmp_path, FOUR_CORES_EIGHT_THREADS)
    (tmp_path / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.usable_cores(cpus, [tmp_path]) == cores


def test_without_topology_every_cpu_is_a_core(affinity: set[int], tmp_path: Path) -> None:
    affinity.update(range(3))
    assert machine.usable_cores(tmp_path, []) == 3


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_another_system_is_one_line(
    system: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(ChameleonError, match=f"runs on Linux, and this is {system}; use a machine"):
        machine.require_linux()
    assert main(["--help"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"error: Chameleon runs on Linux, and this is {system}; use a machine or a container "
        "with Linux, or WSL 2"
    ]


def test_this_machine_has_cores() -> None:
    assert 1 <= machine.usable_cores() <= (os.cpu_count() or 1)


def test_threads_are_bound_only_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TVM_BIND_THREADS", raising=False)
    free = {"TVM_NUM_THREADS": "3", "TVM_BIND_THREADS": "0"}
    assert machine.thread_environment(3) == free
    monkeypatch.setenv("TVM_BIND_THREADS", "1")
    assert machine.thread_environment(3) == {**free, "TVM_BIND_THREADS": "1"}


def test_tvm_uses_all_cpus_when_told() -> None:
    """Untold it takes half of them on x86."""
    cpus = os.cpu_count() or 1
    program = "import chameleon_tuner.backends.tvm, tvm; print(tvm.runtime.num_threads())"
    environment = {**os.environ, **machine.thread_environment(cpus)}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert int(output.stdout) == cpus


X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9B45: the 2nd
flags\t\t: fpu avx2 avx512f avx512_vnni

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n"


def test_name_and_flags_of_the_first_cpu(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(X86)
    assert machine.cpu_flags(info) == {"fpu", "avx2", "avx512f", "avx512_vnni"}
    assert machine.cpu_name(info) == "AMD EPYC 9B45: the 2nd"


def test_arm_calls_them_features(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(ARM)
    assert machine.cpu_flags(info) == {"fp", "asimd", "sve"}
    assert machine.cpu_name(info)


def test_without_cpuinfo_there_is_still_a_name(tmp_path: Path) -> None:
    assert machine.cpu_flags(tmp_path / "none") == frozenset()
    assert machine.cpu_name(tmp_path / "none")


@pytest.mark.parametrize(
    ("caches", "last", "core"),
    [
        ([("32K", "0"), ("32K", "0"), ("32768K", "0-1"), ("1024K", "0")], 32 * 2**20, 2**20),
        ([("48K", "0"), ("512K", "0-3")], 512 * 1024, 2**20),
        ([("2048K", "0")], 2 * 2**20, 2 * 2**20),
        ([("nonsense", "0"), ("", "0")], 32 * 2**20, 2**20),
        ([], 32 * 2**20, 2**20),
    ],
)
def test_the_caches_of_the_machine_and_of_a_core(
    tmp_path: Path, caches: list[tuple[str, str]], last: int, core: int
) -> None:
    for number, (size, users) in enumerate(caches):
        folder = tmp_path / "cpu0" / "cache" / f"index{number}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(size + "\n")
        (folder / "shared_cpu_list").write_text(users + "\n")
    assert machine.last_level_cache_bytes(tmp_path) == last
    assert machine.core_cache_bytes(tmp_path) == core


def test_hyper_threads_of_a_core_share_its_cache(tmp_path: Path) -> None:
    folder = tmp_path / "cpu0" / "cache" / "index2"
    folder.mkdir(parents=True)
    (folder / "size").write_text("512K\n")
    (folder / "shared_cpu_list").write_text("0,4\n")
    (tmp_path / "cpu0" / "topology").mkdir()
    (tmp_path / "cpu0" / "topology" / "thread_siblings_list").write_text("0,4\n")
    assert machine.core_cache_bytes(tmp_path) == 512 * 1024


def test_memory_is_the_machines_or_what_a_cgroup_leaves(tmp_path: Path) -> None:
    whole = machine.memory_bytes([])
    for text, expected in (("max\n", whole), (f"{2**30}\n", 2**30), (f"{2**62}\n", whole)):
        for name in ("memory.max", "memory.limit_in_bytes"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / name).write_text(text)
            assert machine.memory_bytes([tmp_path / "missing", tmp_path / name]) == expected


def test_the_limits_of_all_cgroups_above_count(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/user.slice/run.scope\n")
    found = machine.cgroups("memory", tmp_path / "cgroup", tmp_path / "fs")
    names = [str(path.relative_to(tmp_path / "fs")) for path in found]
    assert names == ["user.slice/run.scope", "user.slice", "."]
    (tmp_path / "cgroup").write_text("4:memory:/job\n3:cpu,cpuacct:/other\n")
    for controller, mine, others in (("memory", "job", "other"), ("cpu", "other", "job")):
        found = machine.cgroups(controller, tmp_path / "cgroup", tmp_path / "fs")
        assert tmp_path / "fs" / controller / mine in found
        assert not any(others in str(path) for path in found)
    assert machine.cgroups("cpu", tmp_path / "nowhere", tmp_path / "fs") == []
