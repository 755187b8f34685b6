from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

from chameleon_tuner.system.neighbours import busy


def test_processes_are_busy_and_gone_afterwards() -> None:
    before = set(psutil.Process().children())
    with busy(2):
        neighbours = set(psutil.Process().children()) - before
        assert len(neighbours) == 2
        deadline = time.monotonic() + 60
        while min(p.cpu_times().user for p in neighbours) < 0.05:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not any(p.is_running() for p in neighbours)


def test_they_end_with_a_parent_that_was_killed() -> None:
    script = (
        "import time, psutil\n"
        "from chameleon_tuner.system.neighbours import busy\n"
        "with busy(1):\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        neighbour = psutil.Process(int(it.stdout.readline()))
        it.send_signal(signal.SIGKILL)
    psutil.wait_procs([neighbour], timeout=60)
    assert not neighbour.is_running()
