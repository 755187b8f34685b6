"""The commands of `chameleon`, with one module for each command."""
