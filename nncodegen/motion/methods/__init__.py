"""Methods by name: each is a table of coefficients in a file of its own. To add one, add a file and its entry here."""

from nncodegen.motion.method import Automatic, Rosenbrock, RungeKutta
from nncodegen.motion.methods.auto import AUTO
from nncodegen.motion.methods.rk4 import RK4
from nncodegen.motion.methods.rodas5p import RODAS5P
from nncodegen.motion.methods.tsit5 import TSIT5

METHODS: dict[str, RungeKutta | Rosenbrock | Automatic] = {
    method.name: method for method in (RK4, TSIT5, RODAS5P, AUTO)
}

__all__ = ["METHODS"]
