"""Formulas fitted to the columns of tables: the command ``curve``."""
