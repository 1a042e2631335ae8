"""The mathematical notation of formulas: ``latex`` prints them, for notebooks and reports alike.

``notation`` defines how names are written; ``written`` replaces functions of the compiler, and breaks long sums into
lines. Programs show themselves in notebooks, and models in notebooks and reports. So the package is at the level of the
representation, below all that describes models, and imports only the representation and SymPy.
"""
