"""Figures of merit of tuners, computed from the logs of their runs.

The curve of a run holds its successive incumbents with neutrally measured latencies. From these
curves follow the ratios between recipes, with bootstrap intervals.
"""
