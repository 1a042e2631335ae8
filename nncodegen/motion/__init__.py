"""Equations of motion as models: their states follow from one time to the next."""

from nncodegen.motion.before import before
from nncodegen.motion.dynamics import Dynamics
from nncodegen.motion.methods import METHODS

__all__ = ["METHODS", "Dynamics", "before"]
