"""What the observations of a model can determine in principle, before there are data: structural identifiability."""

from nncodegen.structural.interface import identifiability
from nncodegen.structural.result import Identifiability

__all__ = ["Identifiability", "identifiability"]
