"""Measuring how fast ways to do the same thing are, and what the harness measures of itself."""
