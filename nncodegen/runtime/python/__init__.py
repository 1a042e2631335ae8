"""The Python part of every compiled module. It needs only NumPy, and nothing of the rest of nncodegen.

A compiled module holds these files and builds a package from them when it is imported (``runtime/finder.py``).
``interface.py`` defines what a module offers; ``native/native.pyx`` is its native part. Each folder is a room, and
imports only those before it: ground, native, arguments, evaluation, results, fitting, training.
"""

from .arguments.calls import TRAIN
from .arguments.optimizers import short_rule
from .arguments.options import CheckedOptions
from .arguments.points import Points
from .ground.facts import Hyperparameter, Rule, read
from .ground.outcomes import Outcomes
from .ground.progress import FitProgress, Progress
from .ground.share import calls
from .interface import Interface, fill
from .native.parts import address_of_part, check_part
from .results.fit_result import FitResult
from .results.fit_with_errors import FitWithErrors
from .results.grouped_fit import GroupedFit
from .results.many_fits import ManyFits
from .results.many_result import ManyResult
from .results.result import Result

__all__ = [
    "TRAIN", "CheckedOptions", "FitProgress", "FitResult", "FitWithErrors", "GroupedFit", "Hyperparameter", "Interface",
    "ManyFits", "ManyResult", "Outcomes", "Points", "Progress", "Result", "Rule", "address_of_part", "calls",
    "check_part", "fill", "read", "short_rule",
]  # fmt: skip
