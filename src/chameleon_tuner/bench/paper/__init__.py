"""The evaluation of the Chameleon paper, repeated with this project's runs.

This package holds the published numbers, the paper's tables and claims recomputed from our curves,
and one reconstructed round of adaptive sampling for a figure.
"""
