"""Methods by name: each is a table of coefficients in a file of its own. To add one, add a file and its entry here."""

from nncodegen.compiler.motion.method import Automatic, Rosenbrock, RungeKutta
from nncodegen.compiler.motion.methods.auto import AUTO
from nncodegen.compiler.motion.methods.rk4 import RK4
from nncodegen.compiler.motion.methods.rodas5p import RODAS5P
from nncodegen.compiler.motion.methods.tsit5 import TSIT5

METHODS: dict[str, RungeKutta | Rosenbrock | Automatic] = {
    method.name: method for method in (RK4, TSIT5, RODAS5P, AUTO)
}

__all__ = ["METHODS"]
