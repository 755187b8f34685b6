"""The comparison of tuners that `chameleon compare` runs.

It runs every recipe on every task with several seeds, on this machine or on recordings, and times
all incumbents again with one neutral timer.
"""
