"""Chameleon tunes deep networks for the machine they run on."""
