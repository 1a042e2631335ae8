"""How tests compile the C that is the same for every model: against the configuration in sample.h."""

from nncodegen.targets import INCLUDE
from tests.support import ROOT

INCLUDES = (*INCLUDE, f"-I{ROOT / 'tests' / 'support'}")
