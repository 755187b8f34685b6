"""Contract suites: tests that every implementation of an interface has to pass.

To test an implementation, inherit the suite of its interface and override the method or fixture
that makes the implementation.
"""
