"""Everything that people read about a run: progress displays, summaries, reports and charts.

The subpackage `compare` makes the report of a comparison of tuners.
"""
