"""Structural identifiability: the parameters that observations of a model can determine, before there are data."""

from nncodegen.structural.interface import identifiability
from nncodegen.structural.result import Identifiability

__all__ = ["Identifiability", "identifiability"]
