"""Equations of motion as models: their states follow from one time to the next."""

from nncodegen.compiler.motion.before import before
from nncodegen.compiler.motion.dynamics import Dynamics
from nncodegen.compiler.motion.methods import METHODS

__all__ = ["METHODS", "Dynamics", "before"]
