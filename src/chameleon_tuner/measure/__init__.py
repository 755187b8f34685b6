"""Measuring: outcomes, timing policy, worker processes."""
