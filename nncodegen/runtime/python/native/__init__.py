"""The model, and its native part: the interface of the compiled functions, in Python and in Cython."""
