"""The comparison of a tuned model with other runtimes that `chameleon versus` runs.

Every runtime runs in its own process, and the runtimes are timed in turn.
"""
