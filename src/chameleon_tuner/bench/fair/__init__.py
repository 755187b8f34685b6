"""The FAIR formats of autotuning: T1 inputs, Kernel Tuner's cache files, and T4 results.

The formats are those of the Benchmark Hub for Auto-Tuning (Willemsen et al. 2025), on which the
community compares its tuners; https://github.com/AutoTuningAssociation/benchmark_hub has files.
"""
