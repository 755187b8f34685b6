"""The machine that a run uses: its cores, clock, files and interrupts.

Every other package may import this one. It imports nothing of the project but `core.errors`.
"""
