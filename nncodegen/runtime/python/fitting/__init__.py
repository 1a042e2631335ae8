"""Fits by least squares: one, many at once, and the search for a starting point."""
