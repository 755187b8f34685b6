"""The Apache TVM backend, and the only package that imports TVM.

- `frontend`: models (ONNX, PyTorch, Relax, TensorIR) to Relax modules
- `lower`: Relax modules to fused kernels, kernels to machine code
- `space`: MetaSchedule's design spaces as knobs, configurations as schedules
- `rewrites`: other algorithms for kernels, one folder each
- `run`: what worker processes do: build, run, judge and compare
- `deploy`: winners as a library in a folder, and running it
- `backend`: all of this behind `ports.backend.Backend`
- `strategy`, `database`: the search and the records in TVM's own tuner
- `metaschedule`: TVM's own tuner as a contestant of comparisons
- `patches`: every change to the global state of TVM or Python, with its reason

Importing this package does not import TVM, which takes a second; importing its modules does.
"""

from chameleon_tuner.backends.tvm.patches import hide_torch_from_tvm

hide_torch_from_tvm()
