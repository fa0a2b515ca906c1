"""Reads finished or running runs: their records, summaries and plots.
Import the module you need; only `dormant.evaluation.plots` imports matplotlib."""
