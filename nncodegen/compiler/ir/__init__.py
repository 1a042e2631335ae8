"""The intermediate representation.

``program`` defines a model as a list of steps, ``step`` one of them and ``element`` its operands; ``equations`` and
``recurrence`` define the relations between indices. ``functions``, ``quotients``, ``limits``, ``shares``,
``magnitudes`` and ``polynomials`` define the functions that its formulas may call, in terms of those in
``elementary``. ``walk`` visits the parts of a formula in order, ``evaluate`` computes the values of a program, and
``names`` finds names that nothing has yet.
"""

from nncodegen.compiler.ir.element import PARAMETER, ROW, SAMPLE, Element, Size, elements, renamed
from nncodegen.compiler.ir.equations import Equation, Solution, Solved, solve
from nncodegen.compiler.ir.evaluate import columns_of, evaluate
from nncodegen.compiler.ir.program import (
    EARLIER,
    LATER,
    LEARNING_RATE,
    Companion,
    DeferredUpdate,
    FitTask,
    Initial,
    InTraining,
    Noise,
    Options,
    Program,
    Statistic,
    Stepwise,
    Task,
    Tensor,
    Update,
    slices_of,
    verify,
)
from nncodegen.compiler.ir.ranges import ranges_of
from nncodegen.compiler.ir.recurrence import Group, dependent, gathered, grouped, steps_of
from nncodegen.compiler.ir.reductions import NORMALIZATIONS, REDUCTIONS
from nncodegen.compiler.ir.step import RECURRENCES, Step, needed, show_step
from nncodegen.runtime.python.ground.facts import Hyperparameter, Term

__all__ = [
    "EARLIER", "LATER", "LEARNING_RATE", "NORMALIZATIONS", "PARAMETER", "RECURRENCES", "REDUCTIONS", "ROW", "SAMPLE",
    "Companion", "DeferredUpdate", "Element", "Equation", "FitTask", "Group", "Hyperparameter",
    "InTraining", "Initial", "Noise", "Options", "Program", "Size", "Solution", "Solved", "Statistic", "Step",
    "Stepwise", "Task", "Tensor", "Term", "Update",
    "columns_of", "dependent", "elements", "evaluate", "gathered", "grouped", "needed", "ranges_of", "renamed",
    "show_step", "slices_of", "solve", "steps_of", "verify",
]  # fmt: skip
