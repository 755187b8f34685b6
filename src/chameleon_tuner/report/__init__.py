"""Everything that people read about a run: progress displays, summaries, reports and charts.

The subpackage `page` makes the page of a run, and `compare` the report of a comparison of tuners.
"""
