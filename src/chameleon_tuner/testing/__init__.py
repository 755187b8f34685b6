"""Helpers that the tests of this project and of its plug-ins share.

There are contract suites for interfaces, landscapes that replace hardware, workers that fail on
purpose, and small models and outcomes.
"""
