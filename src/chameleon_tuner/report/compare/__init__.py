"""The report of a comparison of tuners: figures, and one HTML page that works offline."""

from chameleon_tuner.report.compare.clusters import ClusterRound, cluster_round
from chameleon_tuner.report.compare.page import ComparisonView, write_report
from chameleon_tuner.report.compare.tables import Table

__all__ = ["ClusterRound", "ComparisonView", "Table", "cluster_round", "write_report"]
