"""The command line. For fast help texts, its import loads neither TVM nor other slow libraries."""

from chameleon_tuner.cli.app import main

__all__ = ["main"]
