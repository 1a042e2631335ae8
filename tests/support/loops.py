"""Random programs of many indices, and what their plain loops compute, run step by step in Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy

from nncodegen.ir import Element, Program, Step, Tensor, evaluate, verify
from nncodegen.schedule.nest import Place
from nncodegen.schedule.tree import Accumulate, Combine, Group, Let, Loop, Store, Variable

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
    program = Program("random", (), (), tuple(parameters), Tensor("weight", (None,)), tuple(made), tuple(results), loss)
    return replace(verify(program), gradient=program.outputs)  # which are of other shapes than parameters


def values_of(program, parameters):
    """The results of a program one behind the other, and its loss, by the evaluator."""
    values = evaluate(program, parameters, weight=[0.75])
    flat = [np.ravel(np.broadcast_to(values[e.tensor], [SIZES[i] for i in e.indices])) for e in program.outputs]
    return np.concatenate(flat), float(values["loss"])


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


# --- plain loops, as C would run them ----------------------------------------------------------------------------


class Run:
    """Runs plain loops. Memory is NaN at first; a local variable ends with the block that defines it."""

    def __init__(self, kernel, parameters):
        self.kernel = kernel
        size = sum(size_of(element) for element in kernel.program.outputs)
        self.memory = {Place.PARAMETER: np.array(parameters), Place.ARRAY: np.full(kernel.work, np.nan)}
        self.memory |= {Place.OUTPUT: np.full(size, np.nan), Place.GRADIENT: np.zeros(size)}
        self.functions = {}
        self.scopes = [{}]
        self._block(kernel.body, {})

    def local(self, name):
        return next(scope[name] for scope in reversed(self.scopes) if name in scope)

    def _block(self, items, at):
        for item in items:
            if isinstance(item, Group):
                self._block(item.body, at)
            elif isinstance(item, Loop):
                for value in range(item.end):
                    self.scopes.append({})
                    self._block(item.body, at | {item.index: value})
                    self.scopes.pop()
            elif isinstance(item, Variable):
                self.scopes[-1][item.target.tensor] = float(item.start)
            elif isinstance(item, Accumulate):
                scope = next(scope for scope in reversed(self.scopes) if item.target.tensor in scope)
                so_far, value = scope[item.target.tensor], self._value(item.value, at)
                added = item.combine is Combine.ADD
                scope[item.target.tensor] = so_far + value if added else max(so_far, value)
            elif isinstance(item, Let):
                self.scopes[-1].setdefault(item.target.tensor, self._value(item.value, at))
            else:
                assert isinstance(item, Store)
                own = item.value.terms == (item.target,)
                value = self.local(item.target.tensor) if own else self._value(item.value, at)
                place, address = self._address(item.target, at)
                self.memory[place][address] = value + (
                    self.memory[place][address] if item.combine is Combine.ADD else 0
                )

    def _value(self, value, at):
        (expression,), operands = value.terms, value.operands
        if expression not in self.functions:
            self.functions[expression] = sympy.lambdify(operands, expression, "numpy", dummify=True)
        return self.functions[expression](*(self._read(operand, at) for operand in operands))

    def _address(self, element, at):
        storage = self.kernel.storage[element.tensor]
        pairs = zip(element.indices, storage.strides, strict=True) if element.indices else ()
        return storage.place, storage.offset + sum(stride * at[index] for index, stride in pairs)

    def _read(self, element, at):
        storage = self.kernel.storage[element.tensor]
        if storage.place is Place.WEIGHT:
            return 0.75
        if storage.place is Place.LOCAL:
            return self.local(element.tensor)
        place, address = self._address(element, at)
        assert place in (Place.PARAMETER, Place.ARRAY)  # what is written outside is not read again
        return self.memory[place][address]


def size_of(element):
    return int(np.prod([SIZES[index] for index in element.indices]))
