"""The Python part of every compiled module. It needs only NumPy, and nothing of the rest of nncodegen.

A compiled module holds these files and builds a package from them when it is imported (``runtime/finder.py``).
``interface.py`` defines what a module offers; ``native.pyx`` is its native part.
"""

from .calls import TRAIN
from .facts import Hyperparameter, Rule, read
from .fit_result import FitResult
from .interface import Interface, fill
from .many_fits import ManyFits
from .optimizers import short_rule
from .options import Settings
from .points import Points
from .progress import FitProgress, Progress
from .result import ManyResult, Result
from .share import calls

__all__ = [
    "TRAIN", "FitProgress", "FitResult", "Hyperparameter", "Interface", "ManyFits", "ManyResult", "Points", "Progress",
    "Result", "Rule", "Settings", "calls", "fill", "read", "short_rule",
]  # fmt: skip
