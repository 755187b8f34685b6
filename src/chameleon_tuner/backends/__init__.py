"""Backends: whatever makes kernels out of models, behind `ports.backend.Backend`.

A backend is a package of its own here. It imports `ports`, `space`, `core` and `system`, and no
other room imports its libraries. docs/extending.md has a walk through a new one.
"""
