"""The intermediate representation: what it consists of (``program``), and what it means (``evaluate``)."""

from nncodegen.ir.evaluate import evaluate
from nncodegen.ir.program import (
    LEARNING_RATE,
    NORMALIZATIONS,
    PARAMETER,
    REDUCTIONS,
    SAMPLE,
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
    "LEARNING_RATE", "NORMALIZATIONS", "PARAMETER", "REDUCTIONS", "SAMPLE", "Element", "Hyperparameter", "Initial",
    "Noise", "Program", "Size", "Step", "Tensor", "Update", "elements", "evaluate", "needed", "show_step", "verify",
]  # fmt: skip
