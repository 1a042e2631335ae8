"""Predictions in whole vectors of samples only, so that the bits of one do not depend on the neighbouring samples.

Compilers make two versions of a loop over samples: one for whole vectors, and one for the remaining samples, one by
one. The two may differ in their last bits. The C library has other functions for vectors than for single values. And
where a formula chooses between values, a vector computes both and selects, while a single sample may take a branch,
across which a compiler fuses no product with a sum. But the prediction of a sample must not depend on the number of
other samples. So the last sample is repeated until it fills a vector, and no samples remain. If values of neighbouring
samples are not contiguous, compilers may also fall back to single samples. In this case, and if the C library is
called, inputs are first copied to arrays without gaps, and all other loops run over these. A formula so long that its
kernels run in several functions has padded tiles instead, as programs of blocks have (see ``Schedule.long``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sympy import Abs, Expr, Function, Max, Min, Piecewise, Pow, Rational, ceiling, cos, floor, sign, sin, tan

from nncodegen.compiler.ir import SAMPLE, Program, Step
from nncodegen.compiler.ir.functions import INLINE
from nncodegen.compiler.ir.program import PORTABLE, FitTask
from nncodegen.compiler.ir.systems import formulas_of
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.rules import RULES
from nncodegen.runtime.python.ground.same_bits import SAME_MATH


def check_functions(program: Program) -> None:
    """Raise ModelError for a function of the C library, where results must not depend on the CPU and the system."""
    if program.bits != PORTABLE:
        return
    _check_quantities(program.task.fits)
    update_steps = (step for update in program.updates[len(RULES) :] for step in update.steps)
    for formula in (formula for step in (*program.steps, *update_steps) for formula in formulas_of(step)):
        called = {call.func.__name__ for call in formula.atoms(Function) if not isinstance(call, SAME_BITS)}
        if missing := sorted(called.difference(INLINE)):
            raise ModelError(
                f'bits="portable" has no {missing[0]}: C libraries differ in its last bits. It has exp, log, expm1, '
                "log1p, sin, cos, tan, erf, erfc, powers, square roots, and what is made of these, such as tanh"
                + (f": write {WRITTEN[missing[0]]}" if missing[0] in WRITTEN else "")
            )


WRITTEN = {
    "exp2": "2**x",
    "log2": "log(x)/log(2)",
    "log10": "log(x)/log(10)",
    "hypot": "sqrt(x**2 + y**2)",
    "Cbrt": "x**(1/3), for x that are not negative",
    "sinh": "(expm1(x) - expm1(-x))/2",
    "cosh": "(exp(x) + exp(-x))/2",
}
"""Functions of the C library -> formulas in their place, of functions that are the same everywhere."""


def _check_quantities(task: FitTask) -> None:
    """Raise ModelError for a formula of parameters with a function that Python takes from the C library."""
    for quantity in task.quantities:
        texts = " ".join([quantity.value, *(text for _, text in quantity.slopes)])
        missing = sorted(name for name in re.findall(r"math\.(\w+)", texts) if not hasattr(SAME_MATH, name))
        if missing:
            raise ModelError(
                f'bits="portable" has no {missing[0]} in formulas of parameters, such as that of {quantity.name}: '
                "they have exp, log, powers and square roots"
            )


SAME_BITS = (Abs, Piecewise, Max, Min, sign, floor, ceiling, sin, cos, tan)
"""Functions other than those of ``functions64.h`` with the same bits everywhere: exact ones, and some of
``same_bits.h``."""


def calls_functions(step: Step) -> bool:
    """Return whether a step over the samples is more than arithmetic: most functions choose values, as branches do."""
    return SAMPLE in step.indices and (step.expression.has(Function, Piecewise) or calls_library(step))


def calls_library(step: Step) -> bool:
    """Return whether a step over the samples calls a function of the C library."""
    return SAMPLE in step.indices and has_library(step.expression)


def chooses_functions(steps: Iterable[Step]) -> bool:
    """Return whether steps over the samples choose among values, and call functions of the C library."""
    over_samples = [step for step in steps if SAMPLE in step.indices]
    return any(step.expression.has(Piecewise) for step in over_samples) and any(map(calls_library, over_samples))


def has_library(expression: Expr) -> bool:
    """Return whether an expression has a function of the C library."""
    functions = (call for call in expression.atoms(Function) if not isinstance(call, Abs | Piecewise | sign))
    has_calls = any(function.func.__name__ not in INLINE for function in functions)
    return has_calls or any(map(_is_called, expression.atoms(Pow)))


def _is_called(power: Pow) -> bool:
    """Return whether a power consists neither of products nor of square roots."""
    return not power.exp.is_Integer and abs(power.exp) not in (Rational(1, 2), Rational(3, 2))
