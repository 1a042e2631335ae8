"""Random programs of many indices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy

from nncodegen.compiler.ir import Element, Program, Step, Tensor, evaluate, verify

SIZES = {"i": 2, "j": 3, "k": 4, "l": 3}
"""An index of the same size as another: one tensor may be read under either."""


def random_program(generator, steps=12):
    """A program of parameters and steps over random indices, some of them reductions; all is a result at times."""
    known = [Element("given0"), Element("given1", "ijk")]
    known += [Element(f"given{number}", _some(generator, "ijk")) for number in (2, 3, 4)]
    known.append(Element("given5", "l"))
    parameters = [Tensor(e.tensor, tuple(SIZES[index] for index in e.indices)) for e in known]
    halves = [Element("half", "ijk"), Element("row", "l")]  # they tell the sizes of all indices
    made = [Step(halves[0], known[1] / 2), Step(halves[1], Element("given5", "l") / 2)]
    for number in range(steps):
        operands = [_read(generator, known) for _ in range(generator.choice((1, 2, 2, 3)))]
        free = sorted({index for operand in operands for index in operand.indices})
        over = _some(generator, free) if generator.random() < 0.4 else ()
        indices = [index for index in (free if generator.random() < 0.7 else "ijkl") if index not in over]
        generator.shuffle(indices)
        target = Element(f"t{number}", indices)
        operator = generator.choice(("sum", "max")) if over else None
        made.append(Step(target, _expression(generator, operands), operator, tuple(over)))
        known.append(target)
    loss = Element("loss")
    scalars = [e for e in known if not e.indices]
    made.append(Step(loss, generator.choice(scalars) * Element("weight", ["n"]) / 2, "sum", ("n",)))
    results = [generator.choice([*known, loss]) for _ in range(generator.choice((1, 2, 4)))]
    program = Program("random", (), tuple(made), tuple(results), tuple(parameters), loss=loss)
    return replace(verify(program), gradient=program.outputs)  # which are of other shapes than parameters


def values_of(program, parameters, weight):
    """The values of all tensors of a program for one sample of a weight, by the evaluator."""
    values = dict(evaluate(program, parameters, weight=[weight]))
    return values | {program.weight.name: np.asarray(weight)}


def results_of(program, values):
    """The results of a program one after the other."""
    flat = [np.broadcast_to(values[e.tensor], [SIZES[index] for index in e.indices]) for e in program.outputs]
    return np.concatenate([np.ravel(each) for each in flat])


def _some(generator, indices):
    return [index for index in indices if generator.random() < 0.5]


def _read(generator, known):
    """One of the tensors, at times under the other index of the same size."""
    element = generator.choice(known)
    if generator.random() < 0.7 or {"j", "l"} <= {*element.indices}:
        return element
    return Element(element.tensor, [{"j": "l", "l": "j"}.get(index, index) for index in element.indices])


def _expression(generator, operands):
    """A formula of the operands, which keeps to their magnitude."""
    expression = sympy.Rational(1, generator.choice((2, 3)))
    for operand in operands:
        factor = operand if generator.random() < 0.8 else sympy.Abs(operand)
        expression = expression * factor if generator.random() < 0.5 else expression + factor
    return expression
