"""Run the kernel of matmul.cl with the given -D options; print its seconds and a checksum as JSON.

It takes the first device of OpenCL that there is; PoCL makes one of the CPU.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyopencl as cl

N, RUNS = 256, 3


def main() -> None:
    options = sys.argv[1:]
    sizes = dict(option[2:].split("=") for option in options)
    context = cl.Context([cl.get_platforms()[0].get_devices()[0]])
    profiling = cl.command_queue_properties.PROFILING_ENABLE
    queue = cl.CommandQueue(context, properties=profiling)
    source = Path(__file__).with_name("matmul.cl").read_text()
    kernel = cl.Kernel(cl.Program(context, source).build(options), "matmul")
    a, b = np.random.default_rng(0).random((2, N, N), dtype=np.float32)
    c = np.zeros_like(a)
    read = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
    buffers = [cl.Buffer(context, read, hostbuf=array) for array in (a, b)]
    buffers.append(cl.Buffer(context, cl.mem_flags.WRITE_ONLY, c.nbytes))
    items = (N // int(sizes["ITEM_X"]), N // int(sizes["ITEM_Y"]))
    group = (int(sizes["GROUP_X"]), int(sizes["GROUP_Y"]))
    seconds = []
    for _ in range(RUNS + 1):  # the first run compiles
        event = kernel(queue, items, group, *buffers, np.int32(N))
        event.wait()
        seconds.append(1e-9 * (event.profile.end - event.profile.start))
    cl.enqueue_copy(queue, c, buffers[-1]).wait()
    print(json.dumps({"seconds": seconds[1:], "rows": c.sum(axis=1)[::16].tolist()}))


if __name__ == "__main__":
    main()
