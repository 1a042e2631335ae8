"""Wheels and archives of sources, which install a model as a package."""
