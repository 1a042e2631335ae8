"""The stage in which a fault begins of what comes beside the gradient: an update, a Jacobian, a Hessian.

Each of them has formulas of its own, which the stages rewrite: the update of an optimizer is described and simplified,
the programs of Jacobian and Hessian are derived in ``differentiate`` and simplified. They are evaluated after each
stage in many digits: the first whose value is not the exact one has made the fault. If none has, it is the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping

import mpmath
import numpy as np

from nncodegen.certificates.exact import bind, many, run
from nncodegen.certificates.precision import norm_of, outputs_of
from nncodegen.certificates.products import Array
from nncodegen.certificates.results import Examined, Found
from nncodegen.certificates.updates import RATE, defined_update, updated
from nncodegen.certificates.updates_and_hessians import direction_of, exact_hessian_product, exact_jacobian
from nncodegen.compiler.ir import Companion
from nncodegen.compiler.passes.simplify import simplify_update
from nncodegen.runtime.python.ground.certificate import Fault

AGREE = 20
"""The digits to which values of two stages agree."""

Companions = Mapping[str, tuple[Companion, Companion]]
"""By its name, a companion of a model after ``differentiate``, and after ``simplify``."""


def origin_of(result: Found, companions: Companions) -> Fault | None:
    """Return the fault of the stage that made a wrong update, Jacobian or Hessian; None if no stage of formulas did."""
    quantity = result.figure.quantity
    with mpmath.workdps(result.examined.exact.digits):
        if quantity.startswith("update of ") and quantity != "update of one sample":
            return _of_update(result, quantity.removeprefix("update of "))
        if quantity == "jacobian" and "fitting" in companions:
            return _of_companion(result, *companions["fitting"])
        if quantity.startswith("hessian") and "hessian" in companions:
            return _of_companion(result, *companions["hessian"])
    return None


def _of_update(result: Found, name: str) -> Fault | None:
    """Return the fault of the formula of an optimizer, or of its simplified form."""
    examined = result.examined
    rule = next((each for each in examined.programs.updates if each.name == name), None)
    if rule is None:
        return None
    numbers = {each.name: each.default for each in rule.hyperparameters} | {"learning_rate": RATE}
    before, gradient = many(examined.point.parameters), np.sum(examined.exact.gradients, axis=0) / len(examined.point.X)
    expected = defined_update(rule, before, gradient, numbers)
    for stage, each in (("describe", rule), ("simplify", simplify_update(rule))):
        if _differ(updated(each, before, gradient, numbers), expected):
            return _fault(result, stage, str(each.steps[-1] if stage == "simplify" else each.steps[0]))
    return None


def _of_companion(result: Found, derived: Companion, simplified: Companion) -> Fault | None:
    """Return the fault of the program of a Jacobian or a Hessian, or of its simplified form."""
    examined = result.examined
    rows = _rows_of if result.figure.quantity == "jacobian" else _product_of
    exact = exact_jacobian(examined) if result.figure.quantity == "jacobian" else exact_hessian_product(examined)
    for stage, companion in (("differentiate", derived), ("simplify", simplified)):
        values = rows(companion, examined)
        if _differ(values, exact[tuple(slice(length) for length in values.shape)]):
            program = companion.program
            last = (program.gradient or program.outputs)[-1].tensor
            return _fault(result, stage, str(next(step for step in program.steps if step.target.tensor == last)))
    return None


def _rows_of(companion: Companion, examined: Examined) -> Array:
    """Return the derivatives of the outputs of the first sample by all parameters, (1, outputs, P)."""
    program, point, count = companion.program, examined.point, companion.outputs
    size = examined.programs.described.parameter_count
    width = sum(tensor.size for tensor in program.targets)
    Y = np.zeros((1, width), dtype=object) + mpmath.mpf(0)
    seeds = slice(0, 0) if companion.forward or count == 1 else slice(width - companion.apart - count, None)
    rows = []
    for k in range(1 if companion.forward else count):
        if seeds.stop is None:
            Y[0, seeds] = [mpmath.mpf(place == k) for place in range(count + companion.apart)]
        outputs = outputs_of(program, run(program, bind(program, point.parameters, point.X[:1], Y)))
        rows.append(outputs[0, -size * (count if companion.forward else 1) :])
    if companion.forward:
        return np.stack(rows).reshape(1, size, count).swapaxes(1, 2)
    return np.stack(rows)[None]


def _product_of(companion: Companion, examined: Examined) -> Array:
    """Return the Hessian of the mean loss times the direction that is examined, (P,)."""
    program, point = companion.program, examined.point
    both = np.concatenate([many(point.parameters), many(direction_of(examined))])
    values = run(program, bind(program, both, point.X, point.Y))
    return np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])


def _differ(actual: Array, expected: Array) -> bool:
    apart = norm_of(np.ravel(actual - expected))
    return bool(apart > norm_of(np.ravel(expected)) * mpmath.mpf(10) ** -AGREE)


def _fault(result: Found, stage: str, step: str) -> Fault:
    message = f"{result.figure.quantity} is {result.figure.error:.3g} ulp off, and so is its formula after this stage"
    return Fault(stage, step, result.figure.kind, result.figure.error, message)
