"""The intermediate representation.

``program`` says what it consists of, ``functions`` and ``quotients`` which functions its formulas may call, and
``evaluate`` what it means.
"""

from nncodegen.ir.evaluate import evaluate
from nncodegen.ir.program import (
    LEARNING_RATE,
    NORMALIZATIONS,
    PARAMETER,
    REDUCTIONS,
    ROW,
    SAMPLE,
    Companion,
    Element,
    Initial,
    Noise,
    Program,
    Size,
    Step,
    Tensor,
    Update,
    elements,
    needed,
    show_step,
    verify,
)
from nncodegen.runtime.python.facts import Hyperparameter

__all__ = [
    "LEARNING_RATE", "NORMALIZATIONS", "PARAMETER", "REDUCTIONS", "ROW", "SAMPLE", "Companion", "Element",
    "Hyperparameter", "Initial", "Noise", "Program", "Size", "Step", "Tensor", "Update", "elements", "evaluate",
    "needed", "show_step", "verify",
]  # fmt: skip
