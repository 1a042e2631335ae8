"""Methods by name: each is a table of coefficients in a file of its own. To add one, add a file and its entry here."""

from nncodegen.motion.methods.rk4 import RK4
from nncodegen.motion.methods.tsit5 import TSIT5

METHODS = {method.name: method for method in (RK4, TSIT5)}

__all__ = ["METHODS"]
