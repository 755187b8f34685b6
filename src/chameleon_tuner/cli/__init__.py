"""The command line: one module a command. Nothing here imports what takes long to import."""

from chameleon_tuner.cli.app import main

__all__ = ["main"]
