"""Trainings: one, many at once, by minimizers of SciPy, and by the method of Levenberg and Marquardt."""
