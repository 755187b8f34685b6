"""The interfaces between the search and everything that it runs on, with typed data.

- `measurer`: outcomes of configurations (hardware, records in front of it, or a replay), and when
  a candidate was timed enough
- `judge`: the final comparison of a kernel's fastest candidates with the untuned kernel
- `handler`: what a worker process is asked, and what it answers
- `backend`: tasks of a model, the handler of its workers, and libraries of the winners
- `records`: durable records of everything that was timed
- `runlog`: the log of any tuner's run, for comparisons
- `entry`: where a worker process finds its handler

A new backend implements `backend.Backend` and the parts of `handler.Handler` that it needs; the
contract suites in `chameleon_tuner.testing.contracts` say whether it does.
"""
