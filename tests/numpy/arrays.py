"""Rows of functions on arrays beyond the first set."""
