"""Measuring candidates: on this machine, from records, or from a replay of recorded outcomes.

Each implements `ports.measurer.Measurer`. Nothing here imports a backend: what runs in worker
processes is a `ports.handler.Handler`.
"""
