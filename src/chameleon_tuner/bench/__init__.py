"""Benchmarks around the tuner.

`compare/` runs tuners side by side, `figures/` computes figures of merit from their runs, and
`paper/` compares those with the numbers of the Chameleon paper. `versus/` times a tuned model
beside other runtimes, and `profiling.py` measures where a tuned model spends its time.
"""
