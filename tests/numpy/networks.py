"""Rows of functions for networks, by their formulas."""
