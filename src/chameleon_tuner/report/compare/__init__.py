"""The report of a comparison: figures and one page that works offline."""

from chameleon_tuner.report.compare.clusters import ClusterRound, cluster_round
from chameleon_tuner.report.compare.page import write_report
from chameleon_tuner.report.compare.view import ComparisonView, Table

__all__ = ["ClusterRound", "ComparisonView", "Table", "cluster_round", "write_report"]
