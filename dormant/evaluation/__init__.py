"""Reads finished or running runs: their records, summaries and plots.
Import the module you need; `style` and the `plots` modules import matplotlib."""
