"""Intervals and tests that survive dependence, censoring and many looks."""
