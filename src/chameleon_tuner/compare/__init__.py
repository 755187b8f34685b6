"""Tuners side by side: the comparison that `chameleon compare` runs."""
