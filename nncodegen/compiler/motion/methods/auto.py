"""The method that decides for each step whether it is one of Tsit5 or of Rodas5P."""

from nncodegen.compiler.motion.method import Automatic
from nncodegen.compiler.motion.methods.rodas5p import RODAS5P
from nncodegen.compiler.motion.methods.tsit5 import TSIT5

AUTO = Automatic("auto", TSIT5, RODAS5P)
