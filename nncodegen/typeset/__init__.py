"""How formulas are written in mathematics: ``latex`` prints them, for notebooks and reports alike.

``notation`` says how names are written, ``written`` what stands for functions of the compiler, and where long sums
break. Programs show themselves in notebooks, and models in those and in reports: so the package stands beside the
representation, below all that describes models, and imports nothing but this and SymPy.
"""
